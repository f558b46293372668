/** The billing components and hooks, for a React application that brings its own Supabase client. */

export type { HostClient } from "./client.js";
export { AgentKeys } from "./components/agent_keys.js";
export { Approvals } from "./components/approvals.js";
export { AutoTopup } from "./components/auto_topup.js";
export {
  BillingDashboard,
  type BillingDashboardProps,
  DASHBOARD_TABS,
  type DashboardTab,
} from "./components/billing_dashboard.js";
export { CheckoutReturn, type CheckoutReturnProps } from "./components/checkout_return.js";
export { CreditBalance, type CreditBalanceProps } from "./components/credit_balance.js";
export { CreditGrants } from "./components/credit_grants.js";
export { CreditPackages, type CreditPackagesProps } from "./components/credit_packages.js";
export { CreditUsageChart, type CreditUsageChartProps } from "./components/credit_usage_chart.js";
export { DepartmentLimits } from "./components/department_limits.js";
export { InvoiceList } from "./components/invoice_list.js";
export { Ledger, type LedgerProps } from "./components/ledger.js";
export { PaymentHistory, type PaymentHistoryProps } from "./components/payment_history.js";
export { PaymentMethods } from "./components/payment_methods.js";
export { Paywall, type PaywallProps } from "./components/paywall.js";
export { type PaywallFacts, paywallOfBalance, paywallOfRefusal } from "./components/paywall_facts.js";
export { PlanPicker } from "./components/plan_picker.js";
export { PlatformAlerts } from "./components/platform_alerts.js";
export { ReconciliationReports } from "./components/reconciliation_reports.js";
export { StripeInbox } from "./components/stripe_inbox.js";
export { SubscriptionCard, type SubscriptionCardProps } from "./components/subscription_card.js";
export {
  BillingProvider,
  type BillingProviderProps,
  createQueryClient,
  type LoadStripe,
  PlatformProvider,
  type PlatformProviderProps,
  useBilling,
} from "./context.js";
export { creditsToText, type MicroCredits, parseCredits } from "./credits.js";
export type { Database } from "./database.types.js";
export { BillingError, billingErrorFrom, describeError } from "./errors.js";
export { type Connection, useConnection } from "./live.js";
export { english, type Messages } from "./messages.js";
export {
  type ApprovalDecision,
  type ApprovalRow,
  useDecidedApprovals,
  usePendingApprovals,
  useResolveApproval,
} from "./queries/approvals.js";
export { type CreditBalanceData, useCreditBalance } from "./queries/balance.js";
export { type PaymentMethodRow, useAddCard, useCardStep, usePaymentMethods } from "./queries/cards.js";
export { type CreditPackageRow, useCheapestAction, useCreditPackages } from "./queries/catalogue.js";
export {
  type CheckoutState,
  useBuyPackage,
  useCheckoutStatus,
  useOpenPortal,
  usePaymentForm,
} from "./queries/checkout.js";
export { type AgentKeyRow, useAgentKeys, useCreateAgentKey, useRevokeAgentKey } from "./queries/keys.js";
export { type LedgerRow, type Receipt, useLedger, useReceipt } from "./queries/ledger.js";
export { type DepartmentLimitRow, useDepartmentLimits, useSetDepartmentLimit } from "./queries/limits.js";
export { type Rights, useDepartments, useMembers, useRights } from "./queries/membership.js";
export {
  type InvoiceRow,
  type PaymentRow,
  type Reversals,
  type SubscriptionRow,
  useInvoices,
  usePayments,
  useReversals,
  useSubscription,
} from "./queries/money.js";
export {
  type EventChoice,
  type PlatformAlertRow,
  type ReconciliationRow,
  type Replay,
  type StripeEventRow,
  useClosePlatformAlert,
  usePlatformAdmin,
  usePlatformAlerts,
  useReconciliationReports,
  useReplayStripeEvents,
  useStripeEvents,
} from "./queries/operations.js";
export {
  type GrantRow,
  type UsageForecast,
  useOpenGrants,
  useRestriction,
  useUsageForecast,
} from "./queries/outlook.js";
export { type PlanRow, type PlanStep, useBuyPlan, usePlanStep, usePlans } from "./queries/plans.js";
export {
  type AutoTopupTerms,
  type NewAutoTopup,
  useAutoTopup,
  useConfirmTopup,
  useSetAutoTopup,
  useTopupAttempts,
} from "./queries/topup.js";
export {
  lastDays,
  type UsageCell,
  type UsageGroup,
  type UsagePeriod,
  type UsageShare,
  useUsage,
  useUsageBreakdown,
} from "./queries/usage.js";
