// The attack suite over the docker driver.
import { startEngine } from './engine.mjs';
import { attackSuite } from './attack.mjs';

const engine = await startEngine();

attackSuite({ driver: 'docker', skip: engine.reason, env: () => engine.env });
