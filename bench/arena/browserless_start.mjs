// Starts browserless without the routes of browsers that are not here (it refuses to start otherwise). Argument: its folder.
const { Browserless, BrowserlessRoutes } = await import(`${process.argv[2]}/build/exports.js`);

const server = new Browserless();
server.disableRoutes(...Object.values(BrowserlessRoutes).filter((name) => /^(Chrome|Edge|Firefox|WebKit)[A-Z]/.test(name)));
process.once('SIGTERM', async () => {
  await server.stop();
  process.exit(0);
});
await server.start();
