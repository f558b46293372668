/** The billing components and hooks, for a React application that brings its own Supabase client. */

export type { HostClient } from "./client.js";
export { AgentKeys } from "./components/agent_keys.js";
export {
  BillingDashboard,
  type BillingDashboardProps,
  DASHBOARD_TABS,
  type DashboardTab,
} from "./components/billing_dashboard.js";
export { CheckoutReturn, type CheckoutReturnProps } from "./components/checkout_return.js";
export { CreditBalance, type CreditBalanceProps } from "./components/credit_balance.js";
export { CreditPackages } from "./components/credit_packages.js";
export { CreditUsageChart, type CreditUsageChartProps } from "./components/credit_usage_chart.js";
export { DepartmentLimits } from "./components/department_limits.js";
export { InvoiceList } from "./components/invoice_list.js";
export { Ledger, type LedgerProps } from "./components/ledger.js";
export { PaymentHistory, type PaymentHistoryProps } from "./components/payment_history.js";
export { Paywall } from "./components/paywall.js";
export { type PaywallFacts, paywallOfBalance, paywallOfRefusal } from "./components/paywall_facts.js";
export { SubscriptionCard } from "./components/subscription_card.js";
export { BillingProvider, type BillingProviderProps, createQueryClient, useBilling } from "./context.js";
export { creditsToText, type MicroCredits, parseCredits } from "./credits.js";
export type { Database } from "./database.types.js";
export { BillingError, billingErrorFrom, describeError } from "./errors.js";
export { type Connection, useConnection } from "./live.js";
export { english, type Messages } from "./messages.js";
export { type CreditBalanceData, useCreditBalance } from "./queries/balance.js";
export { type CreditPackageRow, useCheapestAction, useCreditPackages } from "./queries/catalogue.js";
export { type CheckoutState, useBuyPackage, useCheckoutStatus, useOpenPortal } from "./queries/checkout.js";
export { type AgentKeyRow, useAgentKeys, useCreateAgentKey, useRevokeAgentKey } from "./queries/keys.js";
export { type LedgerRow, type Receipt, useLedger, useReceipt } from "./queries/ledger.js";
export { type DepartmentLimitRow, useDepartmentLimits, useSetDepartmentLimit } from "./queries/limits.js";
export { type Rights, useDepartments, useMembers, useRights } from "./queries/membership.js";
export {
  type InvoiceRow,
  type PaymentRow,
  type SubscriptionRow,
  useInvoices,
  usePayments,
  useSubscription,
} from "./queries/money.js";
export {
  lastDays,
  type UsageCell,
  type UsageGroup,
  type UsagePeriod,
  type UsageShare,
  useUsage,
  useUsageBreakdown,
} from "./queries/usage.js";
