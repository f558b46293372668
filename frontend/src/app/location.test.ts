import { expect, test } from "vitest";
import { organizationPath, placeOf } from "./location.js";

const ID = "11111111-1111-4111-8111-111111111111";

test("the link of a refused agent leads to the packs", () => {
  expect(placeOf(`/organizations/${ID}/billing?topup=1`)).toEqual({
    kind: "organization",
    organizationId: ID,
    section: "billing",
    view: null,
    isTopUpAsked: true,
  });
});

test("what is written is what is read", () => {
  expect(placeOf(organizationPath(ID, "billing", "usage"))).toMatchObject({
    section: "billing",
    view: "usage",
  });
  expect(placeOf(organizationPath(ID, "keys"))).toMatchObject({ section: "keys", view: null });
});

test("Stripe's way back names the session, unless the checkout was left", () => {
  expect(placeOf(`/billing/return?organization=${ID}&session_id=cs_1`)).toEqual({
    kind: "checkout_return",
    organizationId: ID,
    sessionId: "cs_1",
    isSetup: false,
  });
  expect(placeOf(`/billing/return?setup=1&session_id=cs_1`)).toMatchObject({
    sessionId: "cs_1",
    isSetup: true,
  });
  expect(placeOf("/billing/return?canceled=1")).toEqual({
    kind: "checkout_return",
    organizationId: null,
    sessionId: null,
    isSetup: false,
  });
});

test("the place of those who run the platform belongs to no organization", () => {
  expect(placeOf("/operations")).toEqual({ kind: "operations" });
});

test.each(["/", "/organizations", "/organizations/nonsense/billing", "/../etc"])(
  "%s is the start",
  (path) => {
    expect(placeOf(path)).toEqual({ kind: "start" });
  },
);
