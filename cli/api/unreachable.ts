// Why a call got no answer, in words, from what fetch throws: the system's codes are for programs. Pure.

interface Unreachable {
  readonly what: string;
  readonly advice: string;
  /** Whether the request may have arrived all the same. */
  readonly sent: boolean;
}

const URL_ADVICE = "Is the address right? --url or ISHA_URL sets it.";

export function unreachableText(error: unknown, url: string, timeoutMs: number): Unreachable {
  if (error instanceof Error && error.name === "TimeoutError") {
    return {
      what: `${url} didn't answer within ${timeoutMs / 1000} s.`,
      advice: "Try again; if it stays so, look at the deployment's status and at your network.",
      sent: true,
    };
  }
  const code = causeCode(error);
  switch (code) {
    case "ECONNREFUSED":
      return {
        what: `Nothing listens at ${url}.`,
        advice: `${URL_ADVICE} On this machine, npm start prints it.`,
        sent: false,
      };
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return {
        what: `The name of ${url} isn't known here (${code}).`,
        advice: `${URL_ADVICE} Is the network up?`,
        sent: false,
      };
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "ETIMEDOUT":
    case "UND_ERR_CONNECT_TIMEOUT":
      return {
        what: `There is no way to ${url} (${code}).`,
        advice: "Look at the network, a VPN or a firewall.",
        sent: false,
      };
    default:
      if (/CERT|SSL|TLS|SELF_SIGNED|ISSUER/.test(code)) {
        return {
          what: `The certificate of ${url} isn't accepted (${code}).`,
          advice: `${URL_ADVICE} Something between may be answering in its place.`,
          sent: false,
        };
      }
      return { what: `The connection to ${url} broke off (${code}).`, advice: "Try again.", sent: true };
  }
}

/** The system's code, in the error or in what caused it. */
function causeCode(error: unknown): string {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth += 1) {
    const { code } = at as NodeJS.ErrnoException;
    if (typeof code === "string") return code;
  }
  return "no code";
}
