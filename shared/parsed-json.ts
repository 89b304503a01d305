// Parses JSON inside a zod schema, for environment variables.
import * as z from "zod/mini";

/**
 * For a zod string's `transform`: returns the parsed value or adds an issue.
 * @param message what the text must be; it never contains a part of the text
 */
export function parsedJson(message: string): (text: string, context: z.core.ParsePayload) => unknown {
  return function parse(text, context) {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      context.issues.push({ code: "custom", input: text, message });
      return z.NEVER;
    }
  };
}
