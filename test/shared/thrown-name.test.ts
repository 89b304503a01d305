import { expect, it } from "vitest";
import { thrownName } from "../../shared/thrown-name.ts";

it("contains an error's class and never its message; of anything else that was thrown, nothing", () => {
  class PatientError extends TypeError {
    override readonly name = "PatientError";
  }
  expect(thrownName(new RangeError("chest pain"))).toBe("RangeError");
  expect(thrownName(new PatientError("chest pain"))).toBe("PatientError");
  for (const thrown of ["chest pain", { name: "chest pain" }, null, undefined, 7])
    expect(thrownName(thrown)).toBe("thrown");
});
