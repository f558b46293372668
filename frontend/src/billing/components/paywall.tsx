/** `Paywall`: says that credits are missing, why, and offers the packs to those who may buy. */

import { type ReactNode, useState } from "react";
import { useFormat, useMessages } from "../context.js";
import { labelOf } from "../labels.js";
import type { CreditPackageRow } from "../queries/catalogue.js";
import { useRights } from "../queries/membership.js";
import { Card } from "../ui/card.js";
import { Notice } from "../ui/feedback.js";
import { PackageList, PayHere } from "./credit_packages.js";
import type { PaywallFacts } from "./paywall_facts.js";

export interface PaywallProps {
  facts: PaywallFacts;
  /** Shows the payment form somewhere else: a purchase ends the paywall; here, when left out. */
  onPayHere?: (pack: CreditPackageRow) => void;
  className?: string;
}

/** The paywall for one set of facts; see `paywallOfRefusal` and `paywallOfBalance`. */
export function Paywall({ facts, onPayHere, className = "" }: PaywallProps): ReactNode {
  const messages = useMessages();
  const [paying, setPaying] = useState<CreditPackageRow | null>(null);
  const rights = useRights();
  const { title, note } = usePaywallText(facts);
  const isForSale = facts.kind !== "limit" && facts.kind !== "approval";
  const canBuy = rights.data?.canBuy ?? false;
  const isDown = facts.kind === "zero";
  if (paying !== null) return <PayHere pack={paying} onClose={() => setPaying(null)} className={className} />;
  return (
    <Card title={title} className={`${isDown ? "border-danger" : "border-warning"} ${className}`}>
      <div className="space-y-4" data-testid="paywall">
        <Notice tone={isDown ? "danger" : "warning"} isAlert>
          {note}
        </Notice>
        {!isForSale ? null : canBuy ? (
          <PackageList onPayHere={onPayHere ?? setPaying} />
        ) : (
          <Notice tone="neutral" title={messages.paywall.askTitle}>
            {messages.paywall.askNote}
          </Notice>
        )}
      </div>
    </Card>
  );
}

function usePaywallText(facts: PaywallFacts): { title: string; note: string } {
  const { paywall } = useMessages();
  const format = useFormat();
  switch (facts.kind) {
    case "zero":
      return { title: paywall.zeroTitle, note: paywall.zeroNote };
    case "asked":
      return { title: paywall.askedTitle, note: paywall.askedNote(format.credits(facts.available)) };
    case "short":
      return {
        title: paywall.shortTitle,
        note: paywall.shortNote(format.credits(facts.available), format.credits(facts.cheapest)),
      };
    case "refused":
      return {
        title: paywall.refusedTitle,
        note: [
          paywall.refusedNote(format.credits(facts.required), format.credits(facts.available)),
          paywall.shortfall(format.credits(facts.shortfall)),
        ].join(" "),
      };
    case "limit": {
      const subject = labelOf(paywall.limitSubjects, facts.subjectType);
      const note = paywall.limitNote(subject, format.credits(facts.used), format.credits(facts.limit));
      const resets = facts.resetsAt === null ? [] : [paywall.limitResets(format.dateTime(facts.resetsAt))];
      return { title: paywall.limitTitle, note: [note, ...resets].join(" ") };
    }
    case "approval":
      return { title: paywall.approvalTitle, note: paywall.approvalNote };
  }
}
