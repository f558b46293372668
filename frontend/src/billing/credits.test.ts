import { expect, test } from "vitest";
import { creditsToText, parseCredits, sumCredits } from "./credits.js";
import { createFormatters } from "./format.js";
import { formatMoney, minorToDecimalText } from "./money.js";

const format = createFormatters("en-US", "UTC");

test("credits survive the way in and out to the millionth", () => {
  for (const text of ["0", "0.000001", "-0.5", "500", "99999999999999.999999"]) {
    expect(creditsToText(parseCredits(text))).toBe(text);
  }
});

test("the database's trailing zeros are cut and digits beyond the sixth decimal are refused", () => {
  expect(creditsToText(parseCredits("500.000000"))).toBe("500");
  expect(parseCredits("1.10000000")).toBe(1_100_000n);
  expect(() => parseCredits("0.0000001")).toThrow(RangeError);
  expect(() => parseCredits("NaN")).toThrow(RangeError);
  expect(() => parseCredits("1e5")).toThrow(RangeError);
});

test("ten tenths are exactly one", () => {
  expect(creditsToText(sumCredits(Array.from({ length: 10 }, () => "0.1")))).toBe("1");
});

test("credits are shown exactly, grouped, with a sign where asked", () => {
  expect(format.credits("99999999999999.999999")).toBe("99,999,999,999,999.999999");
  expect(format.credits(12_500_000n)).toBe("12.5");
  expect(format.signedCredits("-25.000000")).toBe("-25");
  expect(format.signedCredits("500")).toBe("+500");
});

test("money follows the currency's smallest unit, also where Stripe's differs from ISO 4217", () => {
  expect(minorToDecimalText(5, "usd")).toBe("0.05");
  expect(minorToDecimalText(-1250, "EUR")).toBe("-12.50");
  expect(minorToDecimalText(500, "jpy")).toBe("500");
  expect(minorToDecimalText(1234, "kwd")).toBe("1.234");
  expect(minorToDecimalText(500, "ugx")).toBe("5.00");
  expect(minorToDecimalText(500, "mga")).toBe("500");
  expect(minorToDecimalText(17500, "huf")).toBe("175.00");
  expect(minorToDecimalText(450000, "cop")).toBe("4500.00");
  expect(minorToDecimalText(1500000, "idr")).toBe("15000.00");
  expect(formatMoney(1900, "usd", "en-US")).toBe("$19.00");
  expect(formatMoney(1900, "jpy", "en-US")).toBe("¥1,900");
  expect(formatMoney(17500, "huf", "en-US")).toBe("HUF\u00a0175");
  expect(formatMoney(17550, "huf", "en-US")).toBe("HUF\u00a0175.50");
  expect(formatMoney(500, "isk", "en-US")).toBe("ISK\u00a05");
  expect(formatMoney(12340, "kwd", "en-US")).toBe("KWD\u00a012.340");
});
