// The page that all browsers go to, in a process of its own so that it does not compete with the client's event loop.
// Started by fork: sends { port } when it listens on 127.0.0.1.
import http from 'node:http';

const page = `<!doctype html><html lang=en><head><meta charset=utf-8><title>A page</title>
<meta name=viewport content="width=device-width, initial-scale=1"><style>
body{background:#eee;margin:0;font-family:system-ui,sans-serif}div{width:36em;margin:5em auto;padding:2em;background:#fff;border-radius:.5em}
a{color:#348}@media (max-width:700px){div{margin:0 auto;width:auto}}</style></head><body><div><h1>A page</h1>
<p>It is as long as the usual example pages are: a heading, a paragraph of text, a link.</p><p><a href="/more">More</a></p></div></body></html>`;

const server = http.createServer((request, response) => {
  response.setHeader('content-type', 'text/html; charset=utf-8');
  response.setHeader('content-length', Buffer.byteLength(page));
  response.end(page);
});
server.keepAliveTimeout = 60000;
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
process.once('disconnect', () => process.exit(0));
