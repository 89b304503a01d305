// The way of a call that generates: arrival, slots, events or one body, and what the switches do to it. The
// dialects differ only in how a body is read (`requests.ts`) and how an answer is written.
import { Choice } from "./choice.ts";
import type { Delta } from "./choice.ts";
import type { KeptStream } from "./conversations.ts";
import type { Dialect } from "./dialect.ts";
import type { ApiError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { End } from "./generation.ts";
import type { Outcome } from "./ledger.ts";
import type { Params } from "./params.ts";
import type { Sim } from "./sim.ts";
import { TaskGroup } from "./slots.ts";
import { promptPieces } from "./tokens.ts";
import type { Script } from "./script.ts";

/** One prompt of a call. Several come only with `/v1/completions`. */
export interface Ask {
  prompt: string;
  /** The continued message, echoed at the start of the answer. */
  echo: string;
  script(): Script;
}

export interface Call {
  params: Params;
  cachePrompt: boolean;
  asks: Ask[];
  dialect: Dialect;
}

export function generate(sim: Sim, exchange: Exchange, call: Call): void {
  new Generating(sim, exchange, call).begin();
}

class Generating {
  readonly #sim: Sim;
  readonly #exchange: Exchange;
  readonly #call: Call;
  readonly #arrived = performance.now();
  readonly #choices: Choice[] = [];
  readonly #groups: TaskGroup[] = [];
  #kept: KeptStream | null = null;
  #ping: NodeJS.Timeout | undefined;
  #open = 0;
  #outcome: Outcome = "complete";
  #gone = false;

  constructor(sim: Sim, exchange: Exchange, call: Call) {
    this.#sim = sim;
    this.#exchange = exchange;
    this.#call = call;
  }

  begin(): void {
    const { asks, params } = this.#call;
    const conversation = this.#exchange.req.headers["x-conversation-id"];
    if (params.stream && typeof conversation === "string" && conversation !== "") {
      this.#kept = this.#sim.conversations.keep(conversation);
    }
    for (const ask of asks) {
      const works = Array.from({ length: params.choices }, () => this.#work(ask));
      this.#groups.push(new TaskGroup(works, params.slot));
    }
    const generations = this.#groups.flatMap((group) => group.generations);
    for (const [at, choice] of this.#choices.entries()) choice.generation = generations[at] ?? null;
    this.#open = this.#choices.length;
    this.#exchange.onLeave(() => this.#leave());
    for (const group of this.#groups) this.#sim.pool.submit(group);
  }

  #work(ask: Ask): TaskGroup["generations"][number]["work"] {
    const { params, cachePrompt } = this.#call;
    const choice = new Choice({
      index: this.#choices.length,
      echo: ask.echo,
      stops: params.stop,
      cycle: this.#sim.board.current.tokensPerEvent,
      keepTokens: params.logprobs > 0,
      show: params.stream ? (shown, delta) => this.#show(shown, delta) : null,
    });
    this.#choices.push(choice);
    return {
      prompt: promptPieces(ask.prompt),
      promptText: ask.prompt,
      params,
      cachePrompt,
      source: ask.script(),
      onToken: (token) => this.#token(choice, token),
      onEnd: (end) => this.#ended(choice, end),
      onError: (error) => this.#failed(error),
    };
  }

  #token(choice: Choice, token: Parameters<Choice["accept"]>[0]): "go" | "stop" {
    const answer = choice.accept(token);
    const { cutAfterTokens } = this.#sim.board.current;
    const generated = choice.measures().generatedTokens;
    if (cutAfterTokens !== null && generated >= cutAfterTokens && !this.#gone) this.#cut();
    return answer;
  }

  #show(choice: Choice, delta: Delta): void {
    this.#write(this.#call.dialect.event(choice, delta));
  }

  #write(text: string): void {
    if (text === "") return;
    this.#kept?.append(text);
    if (this.#gone) return;
    this.#exchange.write(text);
    if (this.#ping) this.#ping.refresh();
    else this.#startPings();
  }

  /** A comment for every `--sse-ping-interval` of silence (transcript "terminated-mid-stream"). */
  #startPings(): void {
    const { settings, board } = this.#sim;
    const interval = board.current.pingIntervalMs ?? settings.pingSeconds * 1_000;
    if (interval <= 0) return;
    this.#ping = setTimeout(() => {
      this.#exchange.write(":\n\n");
      this.#ping?.refresh();
    }, interval);
  }

  #ended(choice: Choice, end: End): void {
    choice.end = end;
    if (end === "aborted") {
      if (this.#outcome === "complete") this.#outcome = "aborted";
    } else {
      choice.finish(end);
      if (this.#call.params.stream) this.#write(this.#call.dialect.finish(choice));
    }
    this.#open -= 1;
    if (this.#open === 0) this.#complete();
  }

  #complete(): void {
    const { dialect, params } = this.#call;
    if (this.#outcome === "complete") {
      if (params.stream) {
        this.#write(dialect.end());
        if (!this.#gone) this.#exchange.endStream();
      } else if (!this.#gone) {
        this.#exchange.json(dialect.whole(this.#choices));
      }
    }
    clearTimeout(this.#ping);
    this.#kept?.finish();
    this.#record();
  }

  /** A slot refused the prompt: a status if nothing was sent yet, else an event. */
  #failed(error: ApiError): void {
    if (this.#outcome === "error") return;
    this.#outcome = "error";
    clearTimeout(this.#ping);
    for (const group of this.#groups) this.#sim.pool.leave(group);
    if (this.#exchange.headersSent) {
      this.#exchange.write(`data: ${error.body()}\n\n`);
      this.#exchange.endStream();
    } else {
      this.#exchange.error(error);
    }
    this.#gone = true;
    this.#record();
  }

  /** Closes the connection in the middle of an event, or of the body (switch `cutAfterTokens`). */
  #cut(): void {
    const { dialect, params } = this.#call;
    this.#sim.board.spend("cutAfterTokens");
    this.#outcome = "broken";
    this.#gone = true;
    clearTimeout(this.#ping);
    if (params.stream) {
      this.#exchange.write('data: {"choices":[{"finish_reason":null,"index":0,"del');
    } else {
      const body = dialect.whole(this.#choices);
      this.#exchange.answerHalf(Buffer.from(body));
    }
    this.#exchange.breakOff();
    for (const group of this.#groups) this.#sim.pool.leave(group);
  }

  #leave(): void {
    if (this.#gone) return;
    this.#gone = true;
    clearTimeout(this.#ping);
    if (this.#kept) return;
    this.#outcome = "aborted";
    for (const group of this.#groups) this.#sim.pool.leave(group);
  }

  #record(): void {
    const first = this.#choices[0];
    const measures = first?.measures();
    this.#sim.ledger.finish({
      id: this.#call.dialect.id,
      route: this.#exchange.path,
      slot: first?.generation?.slot?.id ?? -1,
      task: first?.generation?.task ?? -1,
      promptTokens: measures?.promptTokens ?? 0,
      cachedTokens: measures?.cachedTokens ?? 0,
      generatedTokens: this.#choices.reduce((sum, choice) => sum + choice.measures().generatedTokens, 0),
      choices: this.#choices.length,
      outcome: this.#outcome,
      tookMs: Math.round(performance.now() - this.#arrived),
      headerNames: Object.keys(this.#exchange.req.headers),
      receivedBody: this.#exchange.text,
    });
  }
}
