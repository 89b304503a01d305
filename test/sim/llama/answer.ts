// The simulated model's answer: a few sentences about the question, marked as simulated, the same for the
// same prompt, and continued exactly where a prefix of it ends. Must not be taken for medical advice.
import { hash, pieces } from "./tokens.ts";

export interface AnswerRequest {
  alias: string;
  /** Everything the answer may depend on, without a continued message. */
  conversation: string;
  /** The last thing the user said; quoted in part. */
  question: string;
  /** The text so far that is to be continued; "" for a fresh answer. */
  prefix: string;
  seed: number;
  /** Never ends by itself (`ignore_eos`). */
  endless: boolean;
}

const MEDICAL = [
  " Please note when %k began, how strong it is from 0–10 and what makes it better or worse.",
  " A temperature above 38.5 °C, fainting or trouble breathing needs a doctor today.",
  " Rest, 1–2 litres of water and a follow-up in 24–48 hours are common first steps.",
  " Ménière’s disease, anaemia and infection are among the things a clinician would rule out.",
  " Tell the care team about allergies, medicines and earlier findings on %k.",
  " If %k gets worse within an hour, call the emergency number – don’t wait.",
  " Blood pressure, pulse and oxygen (≥ 94 %) help to judge how urgent it is.",
];

const INSURANCE = [
  " For %k keep the itemised invoice, the policy number and the date of treatment together.",
  " Most plans pay 80–90 % after the deductible of about €250 has been met.",
  " A claim is usually decided within 10–15 working days once it is complete.",
  " Résumés of findings and the referral speed up the review of %k.",
  " An appeal is possible within 30 days – in writing, with the decision attached.",
  " Out-of-network treatment may need an approval before %k is covered.",
  " Ask the insurer for the explanation of benefits (EOB) on %k.",
];

const INSURANCE_WORDS = /claim|polic|premium|insur|cover|bill|deduct|invoice|reimburs|payer|copay/i;
const DULL = new Set(
  (
    "a about after all an and any are as at be because been before but by can complaint could did do does for " +
    "from had has have he her him his how i if in into is it its me my no not of on or our out patient please " +
    "she should since so some tell than that the their them then there these they this to was we were what " +
    "when where which who why will with would you your"
  ).split(" "),
);

/** How an answer on a bare prompt starts, which is how a continued bare prompt is recognised. */
const BARE_MARK = " (simulated ";
/** The separator between another message's beginning and the simulated text. */
const JOIN = " – ";

/** The text of one generation, token by token; `next` is null at its end. */
export class Answer {
  #queue: string[];
  #at = 0;
  readonly #more: (() => string) | null;

  constructor(text: string, more: (() => string) | null) {
    this.#queue = pieces(text);
    this.#more = more;
  }

  next(): string | null {
    if (this.#at >= this.#queue.length) {
      if (this.#more === null) return null;
      this.#queue = pieces(this.#more());
      this.#at = 0;
    }
    return this.#queue[this.#at++] ?? null;
  }
}

export function answer(request: AnswerRequest): Answer {
  const story = new Story(request);
  const rest = remainder(story, request.prefix);
  return new Answer(rest, request.endless ? () => story.grow() : null);
}

/**
 * Splits a bare prompt into what was asked and what was already answered, so that a prompt with a part of
 * its own answer at the end is continued, not answered again.
 */
export function splitBarePrompt(prompt: string): { conversation: string; prefix: string } {
  const at = prompt.lastIndexOf(BARE_MARK);
  if (at >= 0) return { conversation: prompt.slice(0, at), prefix: prompt.slice(at) };
  for (let length = Math.min(BARE_MARK.length - 1, prompt.length); length > 0; length -= 1) {
    if (prompt.endsWith(BARE_MARK.slice(0, length))) {
      return { conversation: prompt.slice(0, -length), prefix: prompt.slice(-length) };
    }
  }
  return { conversation: prompt, prefix: "" };
}

/** An answer on a bare prompt; a prompt that ends in a part of its own answer gets the rest of it. */
export function bareAnswer(request: Omit<AnswerRequest, "prefix" | "question">): Answer {
  const split = splitBarePrompt(request.conversation);
  for (const { conversation, prefix } of [split, { conversation: request.conversation, prefix: "" }]) {
    const story = new Story({ ...request, conversation, question: conversation, prefix });
    story.lead(" ");
    if (!story.reaches(prefix)) continue;
    return new Answer(story.text.slice(prefix.length), request.endless ? () => story.grow() : null);
  }
  return new Answer("", null);
}

/** `BiMediX2-8B-hf.i1-Q6_K.gguf` is spoken of as `BiMediX2-8B-hf`. */
export const shortName = (alias: string): string =>
  alias.replace(/\.gguf$/i, "").replace(/[.-](?:i1-)?(?:Q\d\w*|f16|bf16|f32)$/i, "");

/** Up to four telling words of a question, in its own order. */
export function keyWords(question: string): string {
  const words = question.match(/[\p{L}\d][\p{L}\d'’-]*/gu) ?? [];
  const telling = words.filter((word) => word.length > 2 && !DULL.has(word.toLowerCase()));
  return (telling.length > 0 ? telling : words).slice(0, 4).join(" ") || "your question";
}

/** The unbroken answer, growing by a sentence at a time if it has no end. */
class Story {
  text: string;
  readonly #pool: readonly string[];
  readonly #topic: string;
  readonly #endless: boolean;
  #state: number;

  constructor(request: AnswerRequest) {
    this.#topic = keyWords(request.question);
    this.#pool = INSURANCE_WORDS.test(request.question) ? INSURANCE : MEDICAL;
    this.#endless = request.endless;
    this.#state = hash(`${request.seed}\n${request.alias}\n${request.conversation}`);
    this.text = `(simulated ${shortName(request.alias)} – no real model) You asked about “${this.#topic}”.`;
    const first = this.#random() % this.#pool.length;
    for (let at = 0; at < 2 + (this.#state & 1); at += 1) this.text += this.#sentence(first + at * 2);
  }

  lead(text: string): void {
    this.text = text + this.text;
  }

  grow(): string {
    const more = this.#sentence(this.#random());
    this.text += more;
    return more;
  }

  /** Whether the text, grown as far as it may, begins with `prefix`. */
  reaches(prefix: string): boolean {
    while (this.#endless && this.text.length < prefix.length) this.grow();
    return this.text.startsWith(prefix);
  }

  #sentence(number: number): string {
    return (this.#pool[number % this.#pool.length] ?? "").replace("%k", () => this.#topic);
  }

  /** Numerical Recipes' linear congruence; only repeatability matters. */
  #random(): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#state >>> 8;
  }
}

/**
 * What is still to be said after `prefix`. A prefix of the answer is continued as if never broken; after
 * anybody else's words the whole answer follows, and a break within that is continued too.
 */
function remainder(story: Story, prefix: string): string {
  if (prefix === "" || story.reaches(prefix)) return story.text.slice(prefix.length);
  const mark = JOIN + story.text.slice(0, BARE_MARK.length);
  const at = prefix.lastIndexOf(mark);
  if (at >= 0 && story.reaches(prefix.slice(at + JOIN.length))) {
    return story.text.slice(prefix.length - at - JOIN.length);
  }
  const whole = JOIN + story.text;
  for (let length = Math.min(mark.length - 1, prefix.length); length > 0; length -= 1) {
    if (prefix.endsWith(mark.slice(0, length))) return whole.slice(length);
  }
  return whole;
}
