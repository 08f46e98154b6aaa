// WebSocket clients: node node_client.js URL COUNT BYTES. Each sends COUNT messages of up to BYTES, text and binary, and a ping, and
// compares what comes back. Prints "ok" or what went wrong.
const { WebSocket } = require('ws');
const [url, count, bytes] = [process.argv[2], +process.argv[3], +process.argv[4]];
const socket = new WebSocket(url, { perMessageDeflate: true });
let got = 0, pong = false;
const message = (i) => (i % 2 ? Buffer.alloc(Math.floor(bytes * i / count), i) : Buffer.from('text '.repeat(i)));
const fail = (why) => { console.log(why); process.exit(1); };
setTimeout(() => fail('it took too long'), 20000);
socket.on('error', (error) => fail(String(error)));
socket.on('open', () => { socket.ping(); for (let i = 0; i < count; i++) socket.send(message(i), { binary: i % 2 === 1 }); });
socket.on('pong', () => { pong = true; });
socket.on('message', (data, isBinary) => {
  if (!data.equals(message(got)) || isBinary !== (got % 2 === 1)) fail(`message ${got} is another`);
  if (++got === count) socket.close(1000, 'done');
});
socket.on('close', (code) => (code === 1000 && got === count && pong ? (console.log('ok'), process.exit(0)) : fail(`closed: ${code} after ${got}`)));
