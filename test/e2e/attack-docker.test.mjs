// The attack suite over the docker driver.
import { startEngine } from './engine.mjs';

const engine = await startEngine();
process.env.BERTH_E2E_DRIVER = 'docker';
if (engine.reason) process.env.BERTH_E2E_SKIP = engine.reason;
else process.env.BERTH_DOCKER_SOCKET = engine.socket;
await import('./attack.test.mjs');
