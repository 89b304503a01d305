// Explains why a request got no answer, from the error that fetch throws. Pure.

interface Unreachable {
  readonly message: string;
  readonly advice: string;
  /** Whether the service may have received the request. */
  readonly sent: boolean;
}

const URL_ADVICE = "Check the address: --url or ISHA_URL sets it.";

export function explainUnreachable(error: unknown, url: string, timeoutMs: number): Unreachable {
  if (error instanceof Error && error.name === "TimeoutError") {
    return {
      message: `${url} didn't answer within ${timeoutMs / 1000} s.`,
      advice: "Try again. If it keeps happening, check the deployment's status and your network.",
      sent: true,
    };
  }
  const code = causeCode(error);
  const unsent = (message: string, advice: string): Unreachable => ({ message, advice, sent: false });
  switch (code) {
    case "ECONNREFUSED":
      return unsent(`Nothing listens at ${url}.`, `${URL_ADVICE} On this machine, npm start prints it.`);
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return unsent(
        `The host name of ${url} can't be resolved (${code}).`,
        `${URL_ADVICE} Check the network.`,
      );
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "ETIMEDOUT":
    case "UND_ERR_CONNECT_TIMEOUT":
      return unsent(`${url} can't be reached (${code}).`, "Check the network, the VPN and the firewall.");
    default:
      if (/CERT|SSL|TLS|SELF_SIGNED|ISSUER/.test(code)) {
        const advice = `${URL_ADVICE} A proxy may be answering in its place.`;
        return unsent(`The certificate of ${url} isn't trusted (${code}).`, advice);
      }
      return { message: `The connection to ${url} broke (${code}).`, advice: "Try again.", sent: true };
  }
}

/** The system's error code, of the error or of one of its causes. */
function causeCode(error: unknown): string {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth += 1) {
    const { code } = at as NodeJS.ErrnoException;
    if (typeof code === "string") return code;
  }
  return "no code";
}
