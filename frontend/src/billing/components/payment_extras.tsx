/** What a payment form may ask beside the card: a promotion code, and where the buyer lives when tax depends on it. */

import type { StripeCheckoutElementsValue } from "@stripe/react-stripe-js/checkout";
import { type ReactNode, useState } from "react";
import { useMessages } from "../context.js";
import { Button } from "../ui/button.js";
import { TextField } from "../ui/fields.js";

const COUNTRY_LETTERS = 2;

/** A promotion code to try, or the ones at work with the way to take them off. */
export function PromotionCode({ checkout }: { checkout: StripeCheckoutElementsValue }): ReactNode {
  const { payment: texts } = useMessages();
  const [word, setWord] = useState("");
  const [problem, setProblem] = useState<string>();
  const [isBusy, setIsBusy] = useState(false);
  const codes = checkout.discountAmounts ?? [];
  const change = async (change: Promise<{ type: string; error?: { message: string } }>) => {
    setIsBusy(true);
    const outcome = await change;
    setProblem(outcome.error?.message);
    if (outcome.error === undefined) setWord("");
    setIsBusy(false);
  };
  if (codes.length > 0) {
    return (
      <div className="flex flex-wrap items-center justify-between gap-2 text-sm">
        <p role="status">
          {codes.map(({ displayName, amount }) => texts.discount(displayName, amount)).join(", ")}
        </p>
        <Button disabled={isBusy} onClick={() => void change(checkout.removePromotionCode())}>
          {texts.removeCode}
        </Button>
      </div>
    );
  }
  return (
    <details className="text-sm">
      <summary className="cursor-pointer text-muted-foreground">{texts.haveCode}</summary>
      <div className="mt-2 flex flex-wrap items-start gap-2">
        <TextField
          className="min-w-40 flex-1"
          label={texts.code}
          value={word}
          error={problem}
          autoComplete="off"
          maxLength={100}
          onChange={(event) => setWord(event.target.value)}
        />
        <Button
          className="mt-6"
          disabled={isBusy || word.trim() === ""}
          onClick={() => void change(checkout.applyPromotionCode(word.trim()))}
        >
          {texts.applyCode}
        </Button>
      </div>
    </details>
  );
}

/** Country and postal code, by which Stripe works the tax out; nothing where it needs neither. */
export function BillingPlace({ checkout }: { checkout: StripeCheckoutElementsValue }): ReactNode {
  const { payment: texts } = useMessages();
  const [isAsked] = useState(checkout.tax.status === "requires_billing_address");
  const [country, setCountry] = useState("");
  const [postalCode, setPostalCode] = useState("");
  const [problem, setProblem] = useState<string>();
  if (!isAsked) return null;
  const tell = async () => {
    if (country.trim().length !== COUNTRY_LETTERS || postalCode.trim() === "") return;
    const address = { country: country.trim().toUpperCase(), postal_code: postalCode.trim() };
    const outcome = await checkout.updateBillingAddress({ address });
    setProblem(outcome.type === "error" ? outcome.error.message : undefined);
  };
  return (
    <fieldset className="space-y-2" onBlur={() => void tell()}>
      <legend className="text-sm text-muted-foreground">{texts.placeForTax}</legend>
      <div className="flex flex-wrap gap-3">
        <TextField
          className="min-w-28 flex-1"
          label={texts.country}
          value={country}
          error={problem}
          autoComplete="country"
          maxLength={COUNTRY_LETTERS}
          onChange={(event) => setCountry(event.target.value)}
        />
        <TextField
          className="min-w-28 flex-1"
          label={texts.postalCode}
          value={postalCode}
          autoComplete="postal-code"
          maxLength={12}
          onChange={(event) => setPostalCode(event.target.value)}
        />
      </div>
    </fieldset>
  );
}
