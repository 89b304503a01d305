// Answers on PM2's socket as its daemon does, so that the agents of `npm start` list and restart processes with the code
// that they use on a box. The frames are described in origin-agent/probes/pm2-rpc.ts.
import { createServer, type Server, type Socket } from "node:net";

/** `error` in the reply; anything else is the value. */
type Methods = Readonly<Record<string, (argument: unknown) => unknown>>;

const VERSION = 1;
const LENGTH_BYTES = 4;

/** A call is a few hundred bytes. */
const MAX_CALL_BYTES = 64 * 1024;

/** Listens until the server is closed. A method that throws is answered with an error. */
export async function listenAsPm2(socketPath: string, methods: Methods): Promise<Server> {
  const server = createServer((socket) => {
    let bytes = Buffer.alloc(0);
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      const parts = partsOf(bytes);
      if (parts === null) return void (bytes.length > MAX_CALL_BYTES && socket.destroy());
      bytes = Buffer.alloc(0);
      void reply(socket, parts, methods);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketPath, resolve);
  });
  return server;
}

async function reply(socket: Socket, [call = "", id = ""]: readonly string[], methods: Methods) {
  let answer: object;
  try {
    const { method, args } = JSON.parse(call.slice("j:".length)) as { method: string; args: unknown[] };
    const handler = Object.hasOwn(methods, method) ? methods[method] : undefined;
    if (handler === undefined) throw new Error(`${method} isn't a method of this stand-in`);
    answer = { args: [await handler(args[0])] };
  } catch (error) {
    answer = { error: error instanceof Error ? error.message : String(error) };
  }
  if (!socket.destroyed) socket.write(frame(`j:${JSON.stringify(answer)}`, id));
}

/** The parts of a whole frame; null before its end has arrived. */
function partsOf(bytes: Buffer): string[] | null {
  if (bytes.length === 0) return null;
  const parts: string[] = [];
  let at = 1;
  for (let left = bytes.readUInt8(0) & 0x0f; left > 0; left -= 1) {
    if (bytes.length < at + LENGTH_BYTES) return null;
    const end = at + LENGTH_BYTES + bytes.readUInt32BE(at);
    if (bytes.length < end) return null;
    parts.push(bytes.toString("utf8", at + LENGTH_BYTES, end));
    at = end;
  }
  return parts;
}

function frame(...texts: readonly string[]): Buffer {
  const parts = texts.flatMap((text) => {
    const body = Buffer.from(text, "utf8");
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32BE(body.length);
    return [length, body];
  });
  return Buffer.concat([Buffer.from([(VERSION << 4) | texts.length]), ...parts]);
}
