import { expect, it } from "vitest";
import {
  dayName,
  dayStart,
  hourStart,
  monthName,
  monthStart,
  nextMonthStart,
} from "../../shared/calendar.ts";

const at = Date.parse("2027-12-31T23:59:59.999Z");

it("hours, days and months start in UTC", () => {
  expect(hourStart(at)).toBe(Date.parse("2027-12-31T23:00:00Z"));
  expect(dayStart(at)).toBe(Date.parse("2027-12-31"));
  expect(monthStart(at)).toBe(Date.parse("2027-12-01"));
  expect(nextMonthStart(at)).toBe(Date.parse("2028-01-01"));
});

it("the start of a period is its own start", () => {
  const start = Date.parse("2028-03-01");
  expect([hourStart(start), dayStart(start), monthStart(start)]).toEqual([start, start, start]);
  expect(nextMonthStart(start)).toBe(Date.parse("2028-04-01"));
});

it("days and months have names", () => {
  expect(dayName(at)).toBe("2027-12-31");
  expect(monthName(at)).toBe("2027-12");
});
