// A Node application behind the gateway: WebSockets, server-sent events, an echo, and slow content. Prints its port.
const http = require('http');
const { WebSocketServer } = require('ws');

const server = http.createServer((request, response) => {
  if (request.url === '/events') {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.flushHeaders();
    let count = 0;
    const timer = setInterval(() => {
      response.write(`data: ${process.hrtime.bigint()}\n\n`);
      if (++count === 20) { clearInterval(timer); response.end(); }
    }, 5);
    request.on('close', () => clearInterval(timer));
  } else if (request.url === '/early') {
    response.writeEarlyHints({ link: '</a.css>; rel=preload; as=style' });
    response.end('after the hints');
  } else if (request.url === '/trailers') {
    response.writeHead(200, { Trailer: 'X-Sum' });
    response.write('content');
    response.addTrailers({ 'X-Sum': '7' });
    response.end();
  } else if (request.url === '/reset') {
    request.socket.resetAndDestroy();
  } else {
    response.setHeader('X-Seen', JSON.stringify(request.headers));
    request.pipe(response);
  }
});
const sockets = new WebSocketServer({ server });
sockets.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
