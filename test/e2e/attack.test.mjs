// The attack suite (attack.mjs) over the process driver.
import { attackSuite } from './attack.mjs';

const skip = process.getuid() !== 0 && 'needs root: berths have no networks or limits of their own otherwise';

attackSuite({ driver: 'process', skip });
