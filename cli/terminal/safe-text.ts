// Makes text from outside safe for an operator's terminal: without control characters, cut by its width, quoted for a
// shell. Pure.

const GRAPHEMES = new Intl.Segmenter("en", { granularity: "grapheme" });
/** Characters that take two columns: East Asian ones and emoji. */
const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u303f\uff01-\uff60]|\p{Emoji_Presentation}/u;
/** Control, format and line-separating characters, which move the cursor or reverse the text's direction. */
const UNSHOWABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Replaces every character that a terminal would execute. */
export function plain(text: string): string {
  return text.replace(UNSHOWABLE, "�");
}

/** Columns that the text takes. */
export function widthOf(text: string): number {
  // A fast path: most text is ASCII.
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of GRAPHEMES.segment(text)) width += WIDE.test(segment) ? 2 : 1;
  return width;
}

/** Cuts the text to a width and marks the cut with an ellipsis. */
export function cutTo(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let kept = "";
  let used = 1;
  for (const { segment } of GRAPHEMES.segment(text)) {
    const wide = WIDE.test(segment) ? 2 : 1;
    if (used + wide > width) break;
    kept += segment;
    used += wide;
  }
  return `${kept}…`;
}

/** A word of a command that an operator may copy. */
export const shellWord = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
