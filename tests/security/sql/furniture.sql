-- Rows of an organization (o) in the tables that no call of the cast reaches; n is a new word, askers are user ids.
insert into billing.customers (organization_id, stripe_customer_id, email) values (%(o)s, 'cus_' || %(n)s, 'pays@security.test');
insert into billing_private.customer_claims (organization_id, livemode, name) values (%(o)s, false, 'x');
insert into billing.subscriptions (organization_id, status, stripe_subscription_id) values (%(o)s, 'active', 'sub_' || %(n)s);
insert into billing.checkout_sessions (organization_id, id, mode, status, name, package_id, stripe_session_id, created_by)
  select %(o)s, %(checkout)s, 'payment', 'open', 'x', p.id, 'cs_' || %(n)s, %(owner)s from billing.credit_packages as p where p.is_active limit 1;
insert into billing.payments (organization_id, kind, status, amount, currency, stripe_payment_intent_id)
  values (%(o)s, 'package', 'succeeded', 1000, 'usd', 'pi_' || %(n)s);
insert into billing.invoices (organization_id, stripe_invoice_id, status, currency, amount_due, total) values (%(o)s, 'in_' || %(n)s, 'paid', 'usd', 1, 1);
insert into billing.payment_methods (organization_id, stripe_payment_method_id, type) values (%(o)s, 'pm_' || %(n)s, 'card');
insert into billing.auto_topups (organization_id, threshold) values (%(o)s, 5);
insert into billing.notifications (organization_id, kind) values (%(o)s, 'limit_passed');
insert into billing.notification_channels (organization_id, kind, target) values (%(o)s, 'email', 'told@security.test');
insert into billing.credit_approvals (organization_id, limit_id, required, window_start, agent_type, action, user_id, created_at)
  select l.organization_id, l.id, 5, now(), 'x', 'do', u.id, now()
  from billing.credit_limits as l, unnest(%(askers)s::uuid[]) as u (id) where l.organization_id = %(o)s and l.subject_type = 'organization';
insert into billing.subscription_plans (key, name, unit_amount, credits_per_period, is_active) values ('plan_' || %(n)s, 'Withdrawn', 1, 1, false);
insert into billing.credit_packages (key, name, unit_amount, credits, is_active) values ('pack_' || %(n)s, 'Withdrawn', 1, 1, false);
insert into billing.auto_topup_attempts (
  organization_id, status, credits, amount, currency, package_id, available_before, stripe_customer_id, stripe_payment_method_id, livemode, created_at
) select %(o)s, 'failed', 5, 100, 'usd', p.id, 0, 'cus_' || %(n)s, 'pm_' || %(n)s, false, now() from billing.credit_packages as p where p.is_active limit 1;
insert into billing.refunds (organization_id, stripe_refund_id, stripe_payment_intent_id, amount, currency, status, created_at, stripe_fetched_at)
  values (%(o)s, 're_' || %(n)s, 'pi_' || %(n)s, 1, 'usd', 'failed', now(), now());
insert into billing.disputes (
  organization_id, stripe_dispute_id, stripe_payment_intent_id, amount, withdrawn, currency, status, restricts, created_at, stripe_fetched_at
) values (%(o)s, 'du_' || %(n)s, 'pi_' || %(n)s, 1, 0, 'usd', 'won', false, now(), now());
insert into billing.reconciliation_reports (organization_id, kind, stripe_object_id, problem, stripes, livemode)
  values (%(o)s, 'invoice', 'in_' || %(n)s, 'missing', '{}', false);
