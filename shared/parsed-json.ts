// A text that must be JSON, at any of the doors: an environment's variable, a header.
import * as z from "zod";

/**
 * For a zod string's `transform`: the text's value, or an issue with these words.
 * @param otherwise what the text must be; never a part of it.
 */
export function parsedJson(
  otherwise: string,
): (text: string, context: z.core.$RefinementCtx<string>) => unknown {
  return function parse(text, context) {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      context.issues.push({ code: "custom", input: text, message: otherwise });
      return z.NEVER;
    }
  };
}
