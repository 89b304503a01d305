import { expect, it } from "vitest";
import { forText } from "../../../console/model/duration.ts";

it("a duration with an unknown start is empty", () => {
  expect(forText(null, 0)).toBe("");
  expect(forText(1_000, 13_000)).toBe("for 12 s");
});
