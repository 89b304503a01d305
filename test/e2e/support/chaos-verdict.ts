// Judges each call of a storm by the answer the same model gives when nothing is wrong.
import fleet from "../../../fleet.config.ts";
import { codeOf, readStream, type CallAnswer, type Usage } from "./agent-call.ts";
import { PACE, switchOn, type HarmedBox } from "./harmed-box.ts";

/** What the design lets a call end with that a broken box can't serve. */
const PERMITTED: ReadonlySet<string> = new Set([
  "upstream_failed",
  "upstream_timeout",
  "model_unavailable",
  "model_loading",
  "overloaded",
  "deadline_exceeded",
]);

export const PROMPTS: readonly string[] = Array.from(
  ["cough", "claim", "migraine", "invoice", "fever", "policy", "asthma", "rash", "deductible", "anaemia"],
  (word) => `Patient complaint: ${word} since Tuesday, getting worse`,
);
/** Tokens; the last is past the end that an answer comes to by itself. */
export const CAPS = [40, 90, 400] as const;

interface Whole {
  readonly text: string;
  readonly finish: string;
  readonly usage: Usage;
}

export type References = ReadonlyMap<string, Whole>;
const referenceName = (file: string, prompt: string, cap: number): string => `${file}|${prompt}|${cap}`;

/** Each model's undisturbed answer to each question, from its own servers. */
export async function takeReferences(box: HarmedBox): Promise<References> {
  const found = new Map<string, Whole>();
  const servers = fleet.boxes[0]?.servers ?? [];
  const ofEachModel = servers.filter(({ file }, at) => servers.findIndex((one) => one.file === file) === at);
  for (const { port, file } of ofEachModel) {
    await switchOn(box, port, { tokensPerSecond: 0, promptTokensPerSecond: 0 });
    for (const prompt of PROMPTS) {
      for (const cap of CAPS) {
        const response = await fetch(`${box.url(port)}/v1/chat/completions`, {
          method: "POST",
          headers: { authorization: `Bearer ${box.llamaApiKey}`, "content-type": "application/json" },
          body: JSON.stringify({
            temperature: 0,
            messages: [{ role: "user", content: prompt }],
            n_predict: cap,
          }),
        });
        const answer = (await response.json()) as {
          choices: [{ finish_reason: string; message: { content: string } }];
          usage: Usage;
        };
        const [{ finish_reason: finish, message }] = answer.choices;
        found.set(referenceName(file, prompt, cap), { text: message.content, finish, usage: answer.usage });
      }
    }
    await switchOn(box, port, PACE);
  }
  return found;
}

/** How calls ended and what was done to them, by cause. */
export type Counts = Record<string, number>;

export const add = (counts: Counts, name: string): void => {
  counts[name] = (counts[name] ?? 0) + 1;
};

/** What may never happen. */
type Wrong = "truncated without a word" | "something twice" | "other text or counts" | "another error";

export class Verdicts {
  readonly counts: Counts = {};
  readonly wrong: Record<Wrong, number> = {
    "truncated without a word": 0,
    "something twice": 0,
    "other text or counts": 0,
    "another error": 0,
  };
  /** The same as text, for the engineer who fixes it. */
  readonly wrongs: string[] = [];
  readonly #references: References;

  constructor(references: References) {
    this.#references = references;
  }

  /** Judges one call that its client stayed for. */
  judge(answer: CallAnswer, prompt: string, cap: number): void {
    const verdict = answer.status === 200 ? this.#ofStream(answer, prompt, cap) : ofRefusal(answer);
    if ("is" in verdict) return add(this.counts, verdict.is);
    this.wrong[verdict.wrong] += 1;
    this.wrongs.push(
      `${verdict.wrong}, ${verdict.why}: ${answer.status} ${answer.ended} …${answer.text.slice(-300)}`,
    );
  }

  /** Share of the calls that were whole, of those their clients stayed for. */
  get completeShare(): number {
    const of = (...starts: string[]): number =>
      Object.entries(this.counts)
        .filter(([name]) => starts.some((start) => name.startsWith(start)))
        .reduce((sum, [, count]) => sum + count, 0);
    return of("complete") / (of("complete", "refused", "error event") + this.wrongs.length);
  }

  #ofStream(answer: CallAnswer, prompt: string, cap: number): Verdict {
    const stream = readStream(answer.text);
    const [file = ""] = stream.models;
    const whole = this.#references.get(referenceName(file, prompt, cap));
    if (answer.ended !== "whole") return no("truncated without a word", "cut off");
    if (stream.dones === 0 && stream.errors.length === 0) return no("truncated without a word", "no end");
    if (stream.ids.length > 1 || stream.models.length > 1) return no("something twice", "two answers");
    if (stream.roles > 1 || stream.dones > 1 || stream.finishes.length > 1)
      return no("something twice", "role, finish or end");
    if (stream.text !== "" && whole?.text.startsWith(stream.text) !== true)
      return no("other text or counts", "text");
    if (stream.errors.length > 0) {
      const [code = ""] = stream.errors;
      const last = answer.text.trimEnd().split("\n\n").at(-1) ?? "";
      if (stream.errors.length > 1 || stream.dones > 0 || !last.startsWith('data: {"error"'))
        return no("something twice", "not one error at its end");
      return PERMITTED.has(code) ? { is: `error event ${code}` } : no("another error", code);
    }
    if (whole === undefined || stream.text !== whole.text)
      return no("truncated without a word", "lost characters");
    if (stream.roles !== 1 || stream.finishes[0] !== whole.finish)
      return no("other text or counts", "role or finish");
    const { usage } = stream;
    if (usage === null) return { is: "complete, counts lost" };
    const { completion_tokens, prompt_tokens } = usage;
    if (completion_tokens !== whole.usage.completion_tokens || prompt_tokens !== whole.usage.prompt_tokens)
      return no("other text or counts", `counts ${prompt_tokens}, ${completion_tokens}`);
    return { is: "complete" };
  }
}

type Verdict = { readonly is: string } | { readonly wrong: Wrong; readonly why: string };
const no = (wrong: Wrong, why: string): Verdict => ({ wrong, why });

function ofRefusal(answer: CallAnswer): Verdict {
  const code = codeOf(answer);
  if (answer.ended === "whole" && code !== null && PERMITTED.has(code)) return { is: `refused ${code}` };
  return no("another error", `status ${answer.status}`);
}
