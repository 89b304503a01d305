// What a log may say of something that was thrown: its class. Its text can hold parts of a request.

export function thrownName(thrown: unknown): string {
  return thrown instanceof Error ? thrown.name : "thrown";
}
