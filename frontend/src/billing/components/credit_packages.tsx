/** `CreditPackages`: packs of credits, each with a button that opens Stripe's page. */

import type { ReactNode } from "react";
import { useFormat, useMessages } from "../context.js";
import { parseCredits } from "../credits.js";
import { describeError } from "../errors.js";
import { type CreditPackageRow, useCreditPackages } from "../queries/catalogue.js";
import { useBuyPackage } from "../queries/checkout.js";
import { useRights } from "../queries/membership.js";
import { Button } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { EmptyState, Notice } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";

/** The packs in a section of their own. */
export function CreditPackages({ className = "" }: { className?: string }): ReactNode {
  const messages = useMessages();
  return (
    <Card title={messages.packages.title} note={messages.packages.secure} className={className}>
      <PackageList />
    </Card>
  );
}

/** The packs alone, for places that have a frame already. */
export function PackageList(): ReactNode {
  const messages = useMessages();
  const packages = useCreditPackages();
  const rights = useRights();
  const buy = useBuyPackage();
  const canBuy = rights.data?.canBuy ?? false;
  return (
    <div className="space-y-3">
      {rights.data === undefined || canBuy ? null : (
        <Notice tone="neutral">{messages.packages.notAllowed}</Notice>
      )}
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
                onBuy={() => buy.mutate(pack.id)}
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
