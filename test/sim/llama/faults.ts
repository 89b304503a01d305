// Answers no llama-server should give, for tests of what stands in front of it. Each takes the place of a
// generation; no slot is used.
import type { ApiError } from "./errors.ts";
import { serverError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { Fault } from "./switches.ts";

export function misbehave(exchange: Exchange, fault: Fault): void {
  switch (fault) {
    case "garbage":
      exchange.raw("\u0016\u0003\u0001 this is not HTTP\r\n\r\n");
      exchange.breakOff();
      return;
    case "halfHeader":
      exchange.raw("HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nContent-Ty");
      exchange.breakOff();
      return;
    case "hugeEvent":
      saying(exchange, Buffer.alloc(exchange.board.current.hugeEventBytes, "a"));
      return;
    case "invalidUtf8":
      saying(exchange, Buffer.from([0x61, 0xff, 0xfe, 0xc3, 0x28, 0x62]));
      return;
    case "wrongContentType":
      exchange.answer(200, "text/html", Buffer.from("<html><body>It works!</body></html>"));
      return;
    case "errorEvent200":
      errorIn200(exchange, serverError("Compute error."));
      return;
    case "closeAtOnce":
      exchange.breakOff();
      return;
    case "neverAnswer":
      return;
    case "echo500":
      exchange.error(serverError(`Failed to parse messages: unexpected value; messages = ${exchange.text}`));
      return;
  }
}

const OPENING =
  'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],' +
  '"object":"chat.completion.chunk"}\n\n';

const streams = (exchange: Exchange): boolean => /"stream"\s*:\s*true/.test(exchange.text);

/** A whole answer, streamed or not, whose content is these bytes. */
function saying(exchange: Exchange, content: Buffer): void {
  const between = (before: string, after: string): Buffer =>
    Buffer.concat([Buffer.from(before), content, Buffer.from(after)]);
  if (!streams(exchange)) {
    const before = '{"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant","content":"';
    const body = between(before, '"}}],"object":"chat.completion"}');
    exchange.answer(200, "application/json; charset=utf-8", body);
    return;
  }
  exchange.write(OPENING);
  exchange.writeBytes(
    between('data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"', '"}}]}\n\n'),
  );
  exchange.write('data: {"choices":[{"finish_reason":"stop","index":0,"delta":{}}]}\n\ndata: [DONE]\n\n');
  exchange.endStream();
}

function errorIn200(exchange: Exchange, error: ApiError): void {
  if (!streams(exchange)) {
    exchange.json(error.body());
    return;
  }
  exchange.write(OPENING);
  exchange.write('data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"(simulated"}}]}\n\n');
  exchange.write(`data: ${error.body()}\n\n`);
  exchange.endStream();
}
