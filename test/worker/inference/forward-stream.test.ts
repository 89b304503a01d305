import { describe, expect, it } from "vitest";
import { forward } from "../../../worker/inference/forward.ts";
import { forwardingOf, type RecordedForwarding } from "../support/forwarding.ts";
import { agentAnswer, fakeFetch, streamOf } from "../support/origin.ts";
import { seeded } from "../support/random.ts";
import { untilHolds } from "../support/until.ts";

async function streamed(
  body: ReadableStream<Uint8Array>,
  contentType = "text/event-stream",
): Promise<RecordedForwarding & { readonly response: Response }> {
  fakeFetch(() => agentAnswer("north", body, { headers: { "content-type": contentType } }));
  const recorded = forwardingOf();
  const forwarded = await forward(recorded.forwarding);
  if (!forwarded.ok) throw new Error(forwarded.refusal.code);
  return { ...recorded, response: forwarded.value.response };
}

describe("a stream that ends", () => {
  it("is passed on byte for byte, whatever its chunks", async () => {
    for (let seed = 1; seed <= 30; seed += 1) {
      const random = seeded(seed);
      const chunks = Array.from({ length: random.integer(1, 30) }, () =>
        random.bytes(random.integer(1, 3_000)),
      );
      const { response, breaks, settled } = await streamed(streamOf(chunks));
      const got = new Uint8Array(await response.arrayBuffer());
      await settled();
      expect(got, `seed ${seed}`).toEqual(joined(chunks));
      expect(breaks, `seed ${seed}`).toEqual([]);
    }
  });

  it("keeps a character that is split over chunks, and its own [DONE]", async () => {
    const bytes = new TextEncoder().encode('data: {"a":"漢😀"}\n\ndata: [DONE]\n\n');
    const { response } = await streamed(streamOf(Array.from(bytes, (byte) => new Uint8Array([byte]))));
    expect(await response.text()).toBe('data: {"a":"漢😀"}\n\ndata: [DONE]\n\n');
  });

  it("is passed on chunk by chunk", async () => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    const { response, settled } = await streamed(readable);
    const reader = response.body?.getReader();
    for (const text of ["data: 1\n\n", ": still here\n\n", "data: 2\n\n"]) {
      const written = writer.write(new TextEncoder().encode(text));
      const got = await reader?.read();
      expect(new TextDecoder().decode(got?.value)).toBe(text);
      await written;
    }
    await Promise.all([writer.close(), reader?.read()]);
    await settled();
  });

  it("that is empty stays empty", async () => {
    const { response, settled, breaks } = await streamed(streamOf([]));
    expect(await response.text()).toBe("");
    await settled();
    expect(breaks).toEqual([]);
  });
});

describe("a stream that breaks", () => {
  it.each<[string, string[]]>([
    ["before its first byte", []],
    ["between two events", ['data: {"a":1}\n\n']],
    ["in the middle of an event", ['data: {"a":1}\n\n', 'data: {"text":"half of']],
    ["after a comment", [": waiting\n\n"]],
  ])("%s ends with one error event and without [DONE]", async (_, chunks) => {
    const { response, breaks, settled } = await streamed(
      streamOf(chunks, "breaks"),
      "text/event-stream; charset=utf-8",
    );
    const text = await response.text();
    await settled();
    expect(text.startsWith(chunks.join(""))).toBe(true);
    expect(text).not.toContain("[DONE]");
    const events = text
      .slice(chunks.join("").length)
      .split("\n\n")
      .filter((event) => event.trim() !== "");
    expect(events.length).toBe(1);
    expect(JSON.parse((events[0] ?? "").replace("data: ", ""))).toMatchObject({
      error: { code: "box_unreachable", request_id: "req_1", param: null },
    });
    expect(text).not.toContain("tunnel");
    expect(breaks).toMatchObject([{ code: "box_unreachable" }]);
  });

  it("in the middle of a character leaves the error event readable", async () => {
    const cut = new TextEncoder().encode('data: {"text":"漢').slice(0, -1);
    const { response } = await streamed(streamOf([cut], "breaks"));
    const bytes = new Uint8Array(await response.arrayBuffer());
    expect(bytes.slice(0, cut.length)).toEqual(cut);
    expect(new TextDecoder().decode(bytes.slice(cut.length))).toMatch(/^\n\ndata: \{"error":.*\}\n\n$/);
  });
});

describe("a client that disconnects", () => {
  it("ends the stream at the box, without an error", async () => {
    let cancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode("data: {}\n\n")),
      cancel() {
        cancelled = true;
      },
    });
    const { response, breaks, settled } = await streamed(endless);
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    await settled();
    await untilHolds(() => expect(cancelled).toBe(true));
    expect(breaks).toEqual([]);
  });
});

describe("an answer that isn't streamed", () => {
  it("is passed on without further work", async () => {
    const waits: unknown[] = [];
    fakeFetch(() => agentAnswer("north", "{}"));
    await forward(forwardingOf({ waitUntil: (work) => waits.push(work) }).forwarding);
    expect(waits).toEqual([]);
  });

  it("gets no error event if it breaks", async () => {
    const { response, breaks } = await streamed(streamOf(['{"a":'], "breaks"), "application/json");
    await expect(response.text()).rejects.toThrow();
    expect(breaks).toEqual([]);
  });
});

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
