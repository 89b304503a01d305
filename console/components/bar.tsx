// A bar that shows a share. Its meaning is next to it as text, so it is hidden from screen readers.

interface BarProps {
  /** 0 to 1. */
  readonly share: number;
  readonly level?: "good" | "warn" | "bad" | "plain";
}

export function Bar({ share, level = "plain" }: BarProps) {
  return (
    <span class="bar" data-level={level} aria-hidden="true">
      <span class="bar-fill" style={{ width: `${(share * 100).toFixed(1)}%` }} />
    </span>
  );
}
