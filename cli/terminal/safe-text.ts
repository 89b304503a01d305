// Text of others on an operator's terminal: no control characters pass, and its width is what the screen shows. Pure.

const GRAPHEMES = new Intl.Segmenter("en", { granularity: "grapheme" });
/** Characters that take two columns: East Asian ones and pictures. */
const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u303f\uff01-\uff60]|\p{Emoji_Presentation}/u;
/** Control, format and line-separating characters: they move the cursor or reverse the text's direction. */
const UNSHOWABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** The text with nothing in it that a terminal would obey. */
export function plain(text: string): string {
  return text.replace(UNSHOWABLE, "�");
}

/** How many columns it takes. */
export function widthOf(text: string): number {
  // Most of what is shown is ASCII.
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of GRAPHEMES.segment(text)) width += WIDE.test(segment) ? 2 : 1;
  return width;
}

/** Cut to a width, with an ellipsis where something is missing. */
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
