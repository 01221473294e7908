// The process driver: the suite that all drivers pass, and many sessions while workers are killed.
import { driverFile } from './driver_file.mjs';
import { driverSuite } from './driver_suite.mjs';
import { manySessions } from './many_sessions.mjs';

const file = driverFile({
  driver: 'process',
  skip: process.getuid() !== 0 && 'needs root: berths have no networks of their own otherwise',
});

driverSuite(file);
manySessions(file, { sessions: 40, clients: 6 });
