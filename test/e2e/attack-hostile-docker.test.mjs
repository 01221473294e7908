// A compromised browser in a container.
import { startEngine } from './engine.mjs';
import { hostileSuite } from './attack_hostile.mjs';
import { hostileImage } from './hostile_image.mjs';

const engine = await startEngine();

hostileSuite({ driver: 'docker', skip: engine.reason, prepare: ({ dir }, scope) => hostileImage(engine, dir, scope) });
