// A compromised browser in the process driver's jail.
import { hostileSuite } from './attack_hostile.mjs';
import { placeBrowser } from './hostile.mjs';

const skip = process.getuid() !== 0 && 'needs root: berths have no networks or limits of their own otherwise';

hostileSuite({ driver: 'process', skip, prepare: ({ dir }) => ({ browser: placeBrowser(dir), env: {} }) });
