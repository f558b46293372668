/** `CreditPackages`: packs of credits, each with a button that opens Stripe's page, or Stripe's form on this one. */

import { lazy, type ReactNode, Suspense, useCallback, useEffect, useRef, useState } from "react";
import { useBilling, useFormat, useMessages } from "../context.js";
import { parseCredits } from "../credits.js";
import { describeError } from "../errors.js";
import { type CreditPackageRow, useCreditPackages } from "../queries/catalogue.js";
import { useBuyPackage } from "../queries/checkout.js";
import { useRights } from "../queries/membership.js";
import { Button } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { EmptyState, Notice, Skeleton } from "../ui/feedback.js";
import { Segmented } from "../ui/fields.js";
import { QueryState } from "../ui/query_state.js";

const PaymentForm = lazy(() => import("./payment_form.js"));

const FORM_LINES = 5;

type Way = "stripe" | "here";

/** What somebody has chosen on the way to buy a pack. */
export interface Purchase {
  /** Where they pay: on Stripe's page, or in Stripe's form on this one. */
  readonly way: Way;
  readonly choose: (way: Way) => void;
  /** The pack that is being paid here. */
  readonly paying: CreditPackageRow | null;
  readonly pay: (pack: CreditPackageRow) => void;
  /** Leaves the form; the next purchase begins anew. */
  readonly close: () => void;
}

/** Keeps a purchase for components that take each other's place while it lasts. */
export function usePurchase(): Purchase {
  const [way, choose] = useState<Way>("stripe");
  const [paying, pay] = useState<CreditPackageRow | null>(null);
  const close = useCallback(() => {
    pay(null);
    choose("stripe");
  }, []);
  return { way, choose, paying, pay, close };
}

export interface CreditPackagesProps {
  /** A purchase that is kept further up, where the payment form is shown, too; one of its own when left out. */
  purchase?: Purchase | undefined;
  className?: string;
}

/** The packs in a section of their own. */
export function CreditPackages({ purchase: given, className = "" }: CreditPackagesProps): ReactNode {
  const messages = useMessages();
  const own = usePurchase();
  const purchase = given ?? own;
  if (own.paying !== null) return <PayHere pack={own.paying} onClose={own.close} className={className} />;
  return (
    <Card title={messages.packages.title} note={messages.packages.secure} className={className}>
      <PackageList purchase={purchase} />
    </Card>
  );
}

export interface PayHereProps {
  pack: CreditPackageRow;
  onClose: () => void;
  className?: string;
}

/** The payment form of a pack, loaded when it is first shown. */
export function PayHere({ pack, onClose, className = "" }: PayHereProps): ReactNode {
  const { states } = useMessages();
  const { loadStripe } = useBilling();
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => place.current?.focus(), []);
  if (loadStripe === undefined) return null;
  return (
    <div ref={place} tabIndex={-1} className={`scroll-mt-4 outline-none ${className}`}>
      <Suspense fallback={<Skeleton lines={FORM_LINES} label={states.loading} />}>
        <PaymentForm pack={pack} loadStripe={loadStripe} onClose={onClose} />
      </Suspense>
    </div>
  );
}

/** The packs alone, for places that have a frame already. */
export function PackageList({ purchase }: { purchase: Purchase }): ReactNode {
  const messages = useMessages();
  const { payment: texts } = messages;
  const { loadStripe } = useBilling();
  const packages = useCreditPackages();
  const rights = useRights();
  const buy = useBuyPackage();
  const canBuy = rights.data?.canBuy ?? false;
  return (
    <div className="space-y-3">
      {rights.data === undefined || canBuy ? null : (
        <Notice tone="neutral">{messages.packages.notAllowed}</Notice>
      )}
      {canBuy && loadStripe !== undefined ? (
        <Segmented
          label={texts.where}
          value={purchase.way}
          options={[
            { value: "stripe", label: texts.onStripe },
            { value: "here", label: texts.here },
          ]}
          onValueChange={(value) => purchase.choose(value === "here" ? "here" : "stripe")}
        />
      ) : null}
      {buy.error === null ? null : (
        <Notice tone="danger" isAlert title={messages.packages.failedTitle}>
          {describeError(buy.error, messages)}
        </Notice>
      )}
      <QueryState
        query={packages}
        skeletonLines={3}
        isEmpty={(rows) => rows.length === 0}
        empty={<EmptyState title={messages.packages.empty} note={messages.packages.emptyNote} />}
      >
        {(rows) => (
          <ul className="grid grid-cols-1 gap-3 min-[30rem]:grid-cols-2 xl:grid-cols-4">
            {rows.map((pack) => (
              <PackageOffer
                key={pack.id}
                pack={pack}
                canBuy={canBuy}
                isBusy={buy.isPending || buy.isSuccess}
                isOpening={buy.variables === pack.id && (buy.isPending || buy.isSuccess)}
                onBuy={() => (purchase.way === "here" ? purchase.pay(pack) : buy.mutate(pack.id))}
              />
            ))}
          </ul>
        )}
      </QueryState>
    </div>
  );
}

interface PackageOfferProps {
  pack: CreditPackageRow;
  canBuy: boolean;
  isBusy: boolean;
  isOpening: boolean;
  onBuy: () => void;
}

function PackageOffer({ pack, canBuy, isBusy, isOpening, onBuy }: PackageOfferProps): ReactNode {
  const { packages } = useMessages();
  const format = useFormat();
  const price = format.money(pack.unit_amount, pack.currency);
  const perCredit = format.creditPrice(pack.unit_amount, parseCredits(pack.credits), pack.currency);
  return (
    <li className="flex flex-col rounded-md border p-4">
      <h3 className="font-semibold">{pack.name}</h3>
      <p className="mt-1 text-sm text-muted-foreground">{pack.description}</p>
      <p className="mt-3 text-2xl font-semibold tracking-tight tabular-nums">{price}</p>
      <p className="text-xs text-muted-foreground">{packages.perCredit(perCredit)}</p>
      <p className="text-xs text-muted-foreground">
        {pack.credit_expiry === null
          ? packages.neverExpires
          : packages.expires(format.interval(pack.credit_expiry))}
      </p>
      <div className="mt-auto pt-4">
        {canBuy ? (
          <Button
            variant="primary"
            className="w-full"
            aria-label={isOpening ? undefined : packages.buyLabel(pack.name, price)}
            disabled={isBusy}
            onClick={onBuy}
          >
            {isOpening ? packages.opening : packages.buy}
          </Button>
        ) : null}
      </div>
    </li>
  );
}
