/** The screen of those who run the platform. A chunk of its own: loaded when it is first shown. */

import type { ReactNode } from "react";
import { PlatformAlerts } from "../billing/components/platform_alerts.js";
import { ReconciliationReports } from "../billing/components/reconciliation_reports.js";
import { StripeInbox } from "../billing/components/stripe_inbox.js";
import { texts } from "./messages.js";

/** What should be looked at first, then the events, then the comparison with Stripe. */
export default function Operations(): ReactNode {
  return (
    <>
      <h1 className="mb-3 text-xl font-semibold tracking-tight">{texts.operations.title}</h1>
      <div className="space-y-4">
        <PlatformAlerts />
        <StripeInbox />
        <ReconciliationReports />
      </div>
    </>
  );
}
