
export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[]

export type Database = {
  
  "billing": {
          Tables: {
            "agent_action_costs": {
                  Row: {
                    "action": string,"agent_type": string,"caller_priced": boolean,"created_at": string,"credit_cost": number,"description": string,"effective_from": string,"effective_to": string | null,"id": number,"metric": string,"organization_id": string | null
                  }
                  ComputedFields: never
                  Insert: {
                    "action": string,"agent_type": string,"caller_priced"?: boolean,"created_at"?: string,"credit_cost"?: number,"description"?: string,"effective_from"?: string,"effective_to"?: string | null,"id"?: never,"metric"?: string,"organization_id"?: string | null
                  }
                  Update: {
                    "action"?: string,"agent_type"?: string,"caller_priced"?: boolean,"created_at"?: string,"credit_cost"?: number,"description"?: string,"effective_from"?: string,"effective_to"?: string | null,"id"?: never,"metric"?: string,"organization_id"?: string | null
                  }
                  Relationships: [
                    {
      foreignKeyName: "agent_action_costs_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "agent_action_costs_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                },"agent_keys": {
                  Row: {
                    "agent_types": (string)[] | null,"created_at": string,"created_by": string | null,"department_id": string | null,"expires_at": string | null,"key_id": string,"last_used_at": string | null,"name": string,"organization_id": string,"revoked_at": string | null,"root_key_id": string,"scopes": (string)[],"spend_limit": number | null,"spend_window": string
                  }
                  ComputedFields: never
                  Insert: {
                    "agent_types"?: (string)[] | null,"created_at"?: string,"created_by"?: string | null,"department_id"?: string | null,"expires_at"?: string | null,"key_id": string,"last_used_at"?: string | null,"name": string,"organization_id": string,"revoked_at"?: string | null,"root_key_id": string,"scopes"?: (string)[],"spend_limit"?: number | null,"spend_window"?: string
                  }
                  Update: {
                    "agent_types"?: (string)[] | null,"created_at"?: string,"created_by"?: string | null,"department_id"?: string | null,"expires_at"?: string | null,"key_id"?: string,"last_used_at"?: string | null,"name"?: string,"organization_id"?: string,"revoked_at"?: string | null,"root_key_id"?: string,"scopes"?: (string)[],"spend_limit"?: number | null,"spend_window"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "agent_keys_department_fkey"
      columns: ["organization_id","department_id"]
isOneToOne: false
      referencedRelation: "departments"
      referencedColumns: ["organization_id","id"]
    },{
      foreignKeyName: "agent_keys_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "agent_keys_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                },"audit_log": {
                  Row: {
                    "action": string,"actor_id": string | null,"actor_type": string,"after": Json | null,"before": Json | null,"created_at": string,"id": number,"organization_id": string,"reason": string | null,"subject_id": string | null,"subject_type": string
                  }
                  ComputedFields: never
                  Insert: {
                    "action": string,"actor_id"?: string | null,"actor_type": string,"after"?: Json | null,"before"?: Json | null,"created_at"?: string,"id"?: never,"organization_id": string,"reason"?: string | null,"subject_id"?: string | null,"subject_type": string
                  }
                  Update: {
                    "action"?: string,"actor_id"?: string | null,"actor_type"?: string,"after"?: Json | null,"before"?: Json | null,"created_at"?: string,"id"?: never,"organization_id"?: string,"reason"?: string | null,"subject_id"?: string | null,"subject_type"?: string
                  }
                  Relationships: [
                    
                  ]
                },"auto_topup_attempts": {
                  Row: {
                    "amount": number,"available_before": number,"called_at": string | null,"calls": number,"created_at": string,"credit_expiry": string | null,"credits": number,"currency": string,"failure_code": string | null,"failure_message": string | null,"grant_id": string | null,"id": string,"livemode": boolean,"organization_id": string,"package_id": string,"payment_id": string | null,"recorded_at": string,"status": string,"stripe_customer_id": string,"stripe_fetched_at": string | null,"stripe_payment_intent_id": string | null,"stripe_payment_method_id": string
                  }
                  ComputedFields: never
                  Insert: {
                    "amount": number,"available_before": number,"called_at"?: string | null,"calls"?: number,"created_at": string,"credit_expiry"?: string | null,"credits": number,"currency": string,"failure_code"?: string | null,"failure_message"?: string | null,"grant_id"?: string | null,"id"?: string,"livemode": boolean,"organization_id": string,"package_id": string,"payment_id"?: string | null,"recorded_at"?: string,"status"?: string,"stripe_customer_id": string,"stripe_fetched_at"?: string | null,"stripe_payment_intent_id"?: string | null,"stripe_payment_method_id": string
                  }
                  Update: {
                    "amount"?: number,"available_before"?: number,"called_at"?: string | null,"calls"?: number,"created_at"?: string,"credit_expiry"?: string | null,"credits"?: number,"currency"?: string,"failure_code"?: string | null,"failure_message"?: string | null,"grant_id"?: string | null,"id"?: string,"livemode"?: boolean,"organization_id"?: string,"package_id"?: string,"payment_id"?: string | null,"recorded_at"?: string,"status"?: string,"stripe_customer_id"?: string,"stripe_fetched_at"?: string | null,"stripe_payment_intent_id"?: string | null,"stripe_payment_method_id"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "auto_topup_attempts_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "auto_topup_attempts_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "auto_topup_attempts_package_fkey"
      columns: ["package_id"]
isOneToOne: false
      referencedRelation: "credit_packages"
      referencedColumns: ["id"]
    }
                  ]
                },"auto_topups": {
                  Row: {
                    "consecutive_declines": number,"consent_text": string | null,"consented_at": string | null,"consented_by": string | null,"cooldown": string,"currency": string,"is_enabled": boolean,"monthly_cap": number | null,"organization_id": string,"package_id": string | null,"paused_reason": string | null,"target_balance": number | null,"threshold": number,"topup_amount": number | null,"updated_at": string
                  }
                  ComputedFields: never
                  Insert: {
                    "consecutive_declines"?: number,"consent_text"?: string | null,"consented_at"?: string | null,"consented_by"?: string | null,"cooldown"?: string,"currency"?: string,"is_enabled"?: boolean,"monthly_cap"?: number | null,"organization_id": string,"package_id"?: string | null,"paused_reason"?: string | null,"target_balance"?: number | null,"threshold"?: number,"topup_amount"?: number | null,"updated_at"?: string
                  }
                  Update: {
                    "consecutive_declines"?: number,"consent_text"?: string | null,"consented_at"?: string | null,"consented_by"?: string | null,"cooldown"?: string,"currency"?: string,"is_enabled"?: boolean,"monthly_cap"?: number | null,"organization_id"?: string,"package_id"?: string | null,"paused_reason"?: string | null,"target_balance"?: number | null,"threshold"?: number,"topup_amount"?: number | null,"updated_at"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "auto_topups_organization_fkey"
      columns: ["organization_id"]
isOneToOne: true
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "auto_topups_organization_fkey"
      columns: ["organization_id"]
isOneToOne: true
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "auto_topups_package_fkey"
      columns: ["package_id"]
isOneToOne: false
      referencedRelation: "credit_packages"
      referencedColumns: ["id"]
    }
                  ]
                },"checkout_sessions": {
                  Row: {
                    "attempts": number,"cancel_url": string | null,"completed_at": string | null,"created_at": string,"created_by": string | null,"credit_expiry": string | null,"credits": number | null,"currency": string | null,"error": string | null,"expires_at": string | null,"id": string,"livemode": boolean,"mode": string,"name": string,"organization_id": string,"package_id": string | null,"plan_id": string | null,"status": string,"stripe_fetched_at": string | null,"stripe_session_id": string | null,"stripe_subscription_id": string | null,"success_url": string | null,"trial_days": number,"ui_mode": string,"unit_amount": number | null,"updated_at": string,"url": string | null
                  }
                  ComputedFields: never
                  Insert: {
                    "attempts"?: number,"cancel_url"?: string | null,"completed_at"?: string | null,"created_at"?: string,"created_by"?: string | null,"credit_expiry"?: string | null,"credits"?: number | null,"currency"?: string | null,"error"?: string | null,"expires_at"?: string | null,"id"?: string,"livemode"?: boolean,"mode": string,"name": string,"organization_id": string,"package_id"?: string | null,"plan_id"?: string | null,"status"?: string,"stripe_fetched_at"?: string | null,"stripe_session_id"?: string | null,"stripe_subscription_id"?: string | null,"success_url"?: string | null,"trial_days"?: number,"ui_mode"?: string,"unit_amount"?: number | null,"updated_at"?: string,"url"?: string | null
                  }
                  Update: {
                    "attempts"?: number,"cancel_url"?: string | null,"completed_at"?: string | null,"created_at"?: string,"created_by"?: string | null,"credit_expiry"?: string | null,"credits"?: number | null,"currency"?: string | null,"error"?: string | null,"expires_at"?: string | null,"id"?: string,"livemode"?: boolean,"mode"?: string,"name"?: string,"organization_id"?: string,"package_id"?: string | null,"plan_id"?: string | null,"status"?: string,"stripe_fetched_at"?: string | null,"stripe_session_id"?: string | null,"stripe_subscription_id"?: string | null,"success_url"?: string | null,"trial_days"?: number,"ui_mode"?: string,"unit_amount"?: number | null,"updated_at"?: string,"url"?: string | null
                  }
                  Relationships: [
                    {
      foreignKeyName: "checkout_sessions_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "checkout_sessions_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "checkout_sessions_package_fkey"
      columns: ["package_id"]
isOneToOne: false
      referencedRelation: "credit_packages"
      referencedColumns: ["id"]
    },{
      foreignKeyName: "checkout_sessions_plan_fkey"
      columns: ["plan_id"]
isOneToOne: false
      referencedRelation: "subscription_plans"
      referencedColumns: ["id"]
    }
                  ]
                },"credit_approvals": {
                  Row: {
                    "action": string | null,"additional": number | null,"agent_key_id": string | null,"agent_type": string | null,"created_at": string,"department_id": string | null,"id": string,"idempotency_key": string | null,"limit_id": string,"organization_id": string,"required": number | null,"resolved_at": string | null,"resolved_by": string | null,"run_id": string | null,"status": string,"user_id": string | null,"window_start": string
                  }
                  ComputedFields: never
                  Insert: {
                    "action"?: string | null,"additional"?: number | null,"agent_key_id"?: string | null,"agent_type"?: string | null,"created_at": string,"department_id"?: string | null,"id"?: string,"idempotency_key"?: string | null,"limit_id": string,"organization_id": string,"required"?: number | null,"resolved_at"?: string | null,"resolved_by"?: string | null,"run_id"?: string | null,"status"?: string,"user_id"?: string | null,"window_start": string
                  }
                  Update: {
                    "action"?: string | null,"additional"?: number | null,"agent_key_id"?: string | null,"agent_type"?: string | null,"created_at"?: string,"department_id"?: string | null,"id"?: string,"idempotency_key"?: string | null,"limit_id"?: string,"organization_id"?: string,"required"?: number | null,"resolved_at"?: string | null,"resolved_by"?: string | null,"run_id"?: string | null,"status"?: string,"user_id"?: string | null,"window_start"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "credit_approvals_limit_fkey"
      columns: ["organization_id","limit_id"]
isOneToOne: false
      referencedRelation: "credit_limits"
      referencedColumns: ["organization_id","id"]
    },{
      foreignKeyName: "credit_approvals_limit_fkey"
      columns: ["organization_id","limit_id"]
isOneToOne: false
      referencedRelation: "department_credit_limits"
      referencedColumns: ["organization_id","limit_id"]
    }
                  ]
                },"credit_holds": {
                  Row: {
                    "action": string,"agent_key_id": string | null,"agent_type": string,"amount": number,"capture_transaction_id": string | null,"captured_amount": number | null,"created_at": string,"department_id": string | null,"expires_at": string,"grant_amounts": (number)[],"grant_ids": (string)[],"id": string,"idempotency_key": string | null,"metadata": NonNullable<Json>,"metered": number,"organization_id": string,"price_ids": (number)[] | null,"quantities": Json | null,"requested_amount": number | null,"resolved_at": string | null,"run_id": string | null,"status": string,"uncollected_amount": number,"user_id": string | null
                  }
                  ComputedFields: never
                  Insert: {
                    "action": string,"agent_key_id"?: string | null,"agent_type": string,"amount": number,"capture_transaction_id"?: string | null,"captured_amount"?: number | null,"created_at": string,"department_id"?: string | null,"expires_at": string,"grant_amounts"?: (number)[],"grant_ids"?: (string)[],"id"?: string,"idempotency_key"?: string | null,"metadata"?: NonNullable<Json>,"metered"?: number,"organization_id": string,"price_ids"?: (number)[] | null,"quantities"?: Json | null,"requested_amount"?: number | null,"resolved_at"?: string | null,"run_id"?: string | null,"status"?: string,"uncollected_amount"?: number,"user_id"?: string | null
                  }
                  Update: {
                    "action"?: string,"agent_key_id"?: string | null,"agent_type"?: string,"amount"?: number,"capture_transaction_id"?: string | null,"captured_amount"?: number | null,"created_at"?: string,"department_id"?: string | null,"expires_at"?: string,"grant_amounts"?: (number)[],"grant_ids"?: (string)[],"id"?: string,"idempotency_key"?: string | null,"metadata"?: NonNullable<Json>,"metered"?: number,"organization_id"?: string,"price_ids"?: (number)[] | null,"quantities"?: Json | null,"requested_amount"?: number | null,"resolved_at"?: string | null,"run_id"?: string | null,"status"?: string,"uncollected_amount"?: number,"user_id"?: string | null
                  }
                  Relationships: [
                    {
      foreignKeyName: "credit_holds_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "credit_holds_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                },"credit_limits": {
                  Row: {
                    "alert_at": (number)[],"amount": number,"counted_from": string | null,"created_at": string,"id": string,"limit_window": string,"mode": string,"organization_id": string,"subject_id": string,"subject_type": string,"timezone": string,"updated_at": string
                  }
                  ComputedFields: never
                  Insert: {
                    "alert_at"?: (number)[],"amount": number,"counted_from"?: string | null,"created_at"?: string,"id"?: string,"limit_window": string,"mode"?: string,"organization_id": string,"subject_id": string,"subject_type": string,"timezone"?: string,"updated_at"?: string
                  }
                  Update: {
                    "alert_at"?: (number)[],"amount"?: number,"counted_from"?: string | null,"created_at"?: string,"id"?: string,"limit_window"?: string,"mode"?: string,"organization_id"?: string,"subject_id"?: string,"subject_type"?: string,"timezone"?: string,"updated_at"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "credit_limits_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "credit_limits_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                },"credit_packages": {
                  Row: {
                    "created_at": string,"credit_expiry": string | null,"credits": number,"currency": string,"description": string,"id": string,"is_active": boolean,"key": string,"name": string,"sort_order": number,"unit_amount": number
                  }
                  ComputedFields: never
                  Insert: {
                    "created_at"?: string,"credit_expiry"?: string | null,"credits": number,"currency"?: string,"description"?: string,"id"?: string,"is_active"?: boolean,"key": string,"name": string,"sort_order"?: number,"unit_amount": number
                  }
                  Update: {
                    "created_at"?: string,"credit_expiry"?: string | null,"credits"?: number,"currency"?: string,"description"?: string,"id"?: string,"is_active"?: boolean,"key"?: string,"name"?: string,"sort_order"?: number,"unit_amount"?: number
                  }
                  Relationships: [
                    
                  ]
                },"credit_transactions": {
                  Row: {
                    "action": string | null,"agent_key_id": string | null,"agent_type": string | null,"amount": number,"announced_at": string | null,"balance_after": number,"created_at": string,"debt_after": number,"department_id": string | null,"grant_amounts": (number)[] | null,"grant_ids": (string)[] | null,"has_scoped_grants": boolean,"head_available": number,"head_grant_id": string | null,"held_after": number,"hold_id": string | null,"id": string,"idempotency_key": string | null,"kind": string,"limits": Json | null,"metadata": Json | null,"organization_id": string,"price_ids": (number)[] | null,"quantities": Json | null,"reason": string | null,"recorded_at": string,"requested_amount": number | null,"run_id": string | null,"sequence": number,"source_transaction_id": string | null,"turn_at": string,"user_id": string | null
                  }
                  ComputedFields: never
                  Insert: {
                    "action"?: string | null,"agent_key_id"?: string | null,"agent_type"?: string | null,"amount": number,"announced_at"?: string | null,"balance_after": number,"created_at": string,"debt_after"?: number,"department_id"?: string | null,"grant_amounts"?: (number)[] | null,"grant_ids"?: (string)[] | null,"has_scoped_grants": boolean,"head_available"?: number,"head_grant_id"?: string | null,"held_after"?: number,"hold_id"?: string | null,"id": string,"idempotency_key"?: string | null,"kind": string,"limits"?: Json | null,"metadata"?: Json | null,"organization_id": string,"price_ids"?: (number)[] | null,"quantities"?: Json | null,"reason"?: string | null,"recorded_at"?: string,"requested_amount"?: number | null,"run_id"?: string | null,"sequence": number,"source_transaction_id"?: string | null,"turn_at": string,"user_id"?: string | null
                  }
                  Update: {
                    "action"?: string | null,"agent_key_id"?: string | null,"agent_type"?: string | null,"amount"?: number,"announced_at"?: string | null,"balance_after"?: number,"created_at"?: string,"debt_after"?: number,"department_id"?: string | null,"grant_amounts"?: (number)[] | null,"grant_ids"?: (string)[] | null,"has_scoped_grants"?: boolean,"head_available"?: number,"head_grant_id"?: string | null,"held_after"?: number,"hold_id"?: string | null,"id"?: string,"idempotency_key"?: string | null,"kind"?: string,"limits"?: Json | null,"metadata"?: Json | null,"organization_id"?: string,"price_ids"?: (number)[] | null,"quantities"?: Json | null,"reason"?: string | null,"recorded_at"?: string,"requested_amount"?: number | null,"run_id"?: string | null,"sequence"?: number,"source_transaction_id"?: string | null,"turn_at"?: string,"user_id"?: string | null
                  }
                  Relationships: [
                    
                  ]
                },"credit_usage_daily": {
                  Row: {
                    "action": string,"agent_key_id": string | null,"agent_type": string,"amount": number,"consumption_count": number,"department_id": string | null,"hour_amounts": (number)[],"hour_counts": (number)[],"hours": (number)[],"model": string | null,"organization_id": string,"usage_date": string,"user_id": string | null
                  }
                  ComputedFields: never
                  Insert: {
                    "action": string,"agent_key_id"?: string | null,"agent_type": string,"amount": number,"consumption_count": number,"department_id"?: string | null,"hour_amounts"?: (number)[],"hour_counts"?: (number)[],"hours"?: (number)[],"model"?: string | null,"organization_id": string,"usage_date": string,"user_id"?: string | null
                  }
                  Update: {
                    "action"?: string,"agent_key_id"?: string | null,"agent_type"?: string,"amount"?: number,"consumption_count"?: number,"department_id"?: string | null,"hour_amounts"?: (number)[],"hour_counts"?: (number)[],"hours"?: (number)[],"model"?: string | null,"organization_id"?: string,"usage_date"?: string,"user_id"?: string | null
                  }
                  Relationships: [
                    
                  ]
                },"customers": {
                  Row: {
                    "created_at": string,"currency": string | null,"default_payment_method_id": string | null,"deleted_at": string | null,"email": string | null,"livemode": boolean,"name": string | null,"organization_id": string,"stripe_customer_id": string,"stripe_fetched_at": string | null,"updated_at": string
                  }
                  ComputedFields: never
                  Insert: {
                    "created_at"?: string,"currency"?: string | null,"default_payment_method_id"?: string | null,"deleted_at"?: string | null,"email"?: string | null,"livemode"?: boolean,"name"?: string | null,"organization_id": string,"stripe_customer_id": string,"stripe_fetched_at"?: string | null,"updated_at"?: string
                  }
                  Update: {
                    "created_at"?: string,"currency"?: string | null,"default_payment_method_id"?: string | null,"deleted_at"?: string | null,"email"?: string | null,"livemode"?: boolean,"name"?: string | null,"organization_id"?: string,"stripe_customer_id"?: string,"stripe_fetched_at"?: string | null,"updated_at"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "customers_organization_fkey"
      columns: ["organization_id"]
isOneToOne: true
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "customers_organization_fkey"
      columns: ["organization_id"]
isOneToOne: true
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                },"departments": {
                  Row: {
                    "created_at": string,"id": string,"name": string,"organization_id": string
                  }
                  ComputedFields: never
                  Insert: {
                    "created_at"?: string,"id"?: string,"name": string,"organization_id": string
                  }
                  Update: {
                    "created_at"?: string,"id"?: string,"name"?: string,"organization_id"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "departments_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "departments_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                },"disputes": {
                  Row: {
                    "amount": number,"created_at": string,"currency": string,"evidence_due_by": string | null,"is_inquiry": boolean,"livemode": boolean,"organization_id": string,"reason": string | null,"restricts": boolean,"status": string,"stripe_dispute_id": string,"stripe_fetched_at": string,"stripe_payment_intent_id": string,"withdrawn": number
                  }
                  ComputedFields: never
                  Insert: {
                    "amount": number,"created_at": string,"currency": string,"evidence_due_by"?: string | null,"is_inquiry"?: never,"livemode"?: boolean,"organization_id": string,"reason"?: string | null,"restricts": boolean,"status": string,"stripe_dispute_id": string,"stripe_fetched_at": string,"stripe_payment_intent_id": string,"withdrawn": number
                  }
                  Update: {
                    "amount"?: number,"created_at"?: string,"currency"?: string,"evidence_due_by"?: string | null,"is_inquiry"?: never,"livemode"?: boolean,"organization_id"?: string,"reason"?: string | null,"restricts"?: boolean,"status"?: string,"stripe_dispute_id"?: string,"stripe_fetched_at"?: string,"stripe_payment_intent_id"?: string,"withdrawn"?: number
                  }
                  Relationships: [
                    {
      foreignKeyName: "disputes_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "disputes_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                },"invitations": {
                  Row: {
                    "accepted_at": string | null,"created_at": string,"department_id": string | null,"email": string,"expires_at": string,"id": string,"invited_by": string | null,"organization_id": string,"revoked_at": string | null,"role": string
                  }
                  ComputedFields: never
                  Insert: {
                    "accepted_at"?: string | null,"created_at"?: string,"department_id"?: string | null,"email": string,"expires_at": string,"id"?: string,"invited_by"?: string | null,"organization_id": string,"revoked_at"?: string | null,"role": string
                  }
                  Update: {
                    "accepted_at"?: string | null,"created_at"?: string,"department_id"?: string | null,"email"?: string,"expires_at"?: string,"id"?: string,"invited_by"?: string | null,"organization_id"?: string,"revoked_at"?: string | null,"role"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "invitations_department_fkey"
      columns: ["organization_id","department_id"]
isOneToOne: false
      referencedRelation: "departments"
      referencedColumns: ["organization_id","id"]
    },{
      foreignKeyName: "invitations_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "invitations_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                },"invoices": {
                  Row: {
                    "amount_due": number,"amount_paid": number,"amount_remaining": number,"billing_reason": string | null,"created_at": string,"currency": string,"due_date": string | null,"finalized_at": string | null,"hosted_invoice_url": string | null,"id": string,"invoice_pdf": string | null,"livemode": boolean,"number": string | null,"organization_id": string,"paid_at": string | null,"period_end": string | null,"period_start": string | null,"status": string,"stripe_fetched_at": string | null,"stripe_invoice_id": string,"stripe_subscription_id": string | null,"total": number,"updated_at": string
                  }
                  ComputedFields: never
                  Insert: {
                    "amount_due": number,"amount_paid"?: number,"amount_remaining"?: number,"billing_reason"?: string | null,"created_at"?: string,"currency": string,"due_date"?: string | null,"finalized_at"?: string | null,"hosted_invoice_url"?: string | null,"id"?: string,"invoice_pdf"?: string | null,"livemode"?: boolean,"number"?: string | null,"organization_id": string,"paid_at"?: string | null,"period_end"?: string | null,"period_start"?: string | null,"status": string,"stripe_fetched_at"?: string | null,"stripe_invoice_id": string,"stripe_subscription_id"?: string | null,"total": number,"updated_at"?: string
                  }
                  Update: {
                    "amount_due"?: number,"amount_paid"?: number,"amount_remaining"?: number,"billing_reason"?: string | null,"created_at"?: string,"currency"?: string,"due_date"?: string | null,"finalized_at"?: string | null,"hosted_invoice_url"?: string | null,"id"?: string,"invoice_pdf"?: string | null,"livemode"?: boolean,"number"?: string | null,"organization_id"?: string,"paid_at"?: string | null,"period_end"?: string | null,"period_start"?: string | null,"status"?: string,"stripe_fetched_at"?: string | null,"stripe_invoice_id"?: string,"stripe_subscription_id"?: string | null,"total"?: number,"updated_at"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "invoices_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "invoices_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                },"notification_channels": {
                  Row: {
                    "created_at": string,"created_by": string | null,"events": (string)[],"id": string,"is_enabled": boolean,"kind": string,"organization_id": string,"target": string
                  }
                  ComputedFields: never
                  Insert: {
                    "created_at"?: string,"created_by"?: string | null,"events"?: (string)[],"id"?: string,"is_enabled"?: boolean,"kind": string,"organization_id": string,"target": string
                  }
                  Update: {
                    "created_at"?: string,"created_by"?: string | null,"events"?: (string)[],"id"?: string,"is_enabled"?: boolean,"kind"?: string,"organization_id"?: string,"target"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "notification_channels_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "notification_channels_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                },"notifications": {
                  Row: {
                    "created_at": string,"dedupe_key": string | null,"details": NonNullable<Json>,"id": string,"kind": string,"organization_id": string,"read_at": string | null,"severity": string,"subject_id": string | null,"subject_type": string | null
                  }
                  ComputedFields: never
                  Insert: {
                    "created_at"?: string,"dedupe_key"?: string | null,"details"?: NonNullable<Json>,"id"?: string,"kind": string,"organization_id": string,"read_at"?: string | null,"severity"?: string,"subject_id"?: string | null,"subject_type"?: string | null
                  }
                  Update: {
                    "created_at"?: string,"dedupe_key"?: string | null,"details"?: NonNullable<Json>,"id"?: string,"kind"?: string,"organization_id"?: string,"read_at"?: string | null,"severity"?: string,"subject_id"?: string | null,"subject_type"?: string | null
                  }
                  Relationships: [
                    {
      foreignKeyName: "notifications_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "notifications_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                },"organization_members": {
                  Row: {
                    "created_at": string,"department_id": string | null,"organization_id": string,"role": string,"user_id": string
                  }
                  ComputedFields: never
                  Insert: {
                    "created_at"?: string,"department_id"?: string | null,"organization_id": string,"role": string,"user_id": string
                  }
                  Update: {
                    "created_at"?: string,"department_id"?: string | null,"organization_id"?: string,"role"?: string,"user_id"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "organization_members_department_fkey"
      columns: ["organization_id","department_id"]
isOneToOne: false
      referencedRelation: "departments"
      referencedColumns: ["organization_id","id"]
    },{
      foreignKeyName: "organization_members_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "organization_members_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                },"organizations": {
                  Row: {
                    "created_at": string,"id": string,"is_mirrored": boolean,"ledger_number": number,"name": string,"organization_id": string,"over_capture_policy": string,"overdraft_limit": number,"restricted_from": string | null,"restricted_reason": string | null,"revision": number,"test_clock": string | null
                  }
                  ComputedFields: never
                  Insert: {
                    "created_at"?: string,"id"?: never,"is_mirrored"?: boolean,"ledger_number"?: number,"name": string,"organization_id"?: string,"over_capture_policy"?: string,"overdraft_limit"?: number,"restricted_from"?: string | null,"restricted_reason"?: string | null,"revision"?: number,"test_clock"?: string | null
                  }
                  Update: {
                    "created_at"?: string,"id"?: never,"is_mirrored"?: boolean,"ledger_number"?: number,"name"?: string,"organization_id"?: string,"over_capture_policy"?: string,"overdraft_limit"?: number,"restricted_from"?: string | null,"restricted_reason"?: string | null,"revision"?: number,"test_clock"?: string | null
                  }
                  Relationships: [
                    
                  ]
                },"payment_methods": {
                  Row: {
                    "brand": string | null,"created_at": string,"detached_at": string | null,"exp_month": number | null,"exp_year": number | null,"id": string,"is_default": boolean,"last4": string | null,"organization_id": string,"stripe_fetched_at": string | null,"stripe_payment_method_id": string,"type": string
                  }
                  ComputedFields: never
                  Insert: {
                    "brand"?: string | null,"created_at"?: string,"detached_at"?: string | null,"exp_month"?: number | null,"exp_year"?: number | null,"id"?: string,"is_default"?: boolean,"last4"?: string | null,"organization_id": string,"stripe_fetched_at"?: string | null,"stripe_payment_method_id": string,"type": string
                  }
                  Update: {
                    "brand"?: string | null,"created_at"?: string,"detached_at"?: string | null,"exp_month"?: number | null,"exp_year"?: number | null,"id"?: string,"is_default"?: boolean,"last4"?: string | null,"organization_id"?: string,"stripe_fetched_at"?: string | null,"stripe_payment_method_id"?: string,"type"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "payment_methods_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "payment_methods_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                },"payments": {
                  Row: {
                    "amount": number,"amount_refunded": number,"card_brand": string | null,"card_last4": string | null,"checkout_session_id": string | null,"created_at": string,"credits": number | null,"currency": string,"description": string,"disputed": boolean,"failure_code": string | null,"failure_message": string | null,"grant_id": string | null,"id": string,"kind": string,"livemode": boolean,"organization_id": string,"paid_at": string | null,"receipt_url": string | null,"status": string,"stripe_charge_id": string | null,"stripe_fetched_at": string | null,"stripe_invoice_id": string | null,"stripe_payment_intent_id": string | null,"stripe_session_id": string | null,"updated_at": string
                  }
                  ComputedFields: never
                  Insert: {
                    "amount": number,"amount_refunded"?: number,"card_brand"?: string | null,"card_last4"?: string | null,"checkout_session_id"?: string | null,"created_at"?: string,"credits"?: number | null,"currency": string,"description"?: string,"disputed"?: boolean,"failure_code"?: string | null,"failure_message"?: string | null,"grant_id"?: string | null,"id"?: string,"kind": string,"livemode"?: boolean,"organization_id": string,"paid_at"?: string | null,"receipt_url"?: string | null,"status": string,"stripe_charge_id"?: string | null,"stripe_fetched_at"?: string | null,"stripe_invoice_id"?: string | null,"stripe_payment_intent_id"?: string | null,"stripe_session_id"?: string | null,"updated_at"?: string
                  }
                  Update: {
                    "amount"?: number,"amount_refunded"?: number,"card_brand"?: string | null,"card_last4"?: string | null,"checkout_session_id"?: string | null,"created_at"?: string,"credits"?: number | null,"currency"?: string,"description"?: string,"disputed"?: boolean,"failure_code"?: string | null,"failure_message"?: string | null,"grant_id"?: string | null,"id"?: string,"kind"?: string,"livemode"?: boolean,"organization_id"?: string,"paid_at"?: string | null,"receipt_url"?: string | null,"status"?: string,"stripe_charge_id"?: string | null,"stripe_fetched_at"?: string | null,"stripe_invoice_id"?: string | null,"stripe_payment_intent_id"?: string | null,"stripe_session_id"?: string | null,"updated_at"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "payments_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "payments_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                },"reconciliation_reports": {
                  Row: {
                    "first_seen_at": string,"kind": string,"last_seen_at": string,"livemode": boolean,"organization_id": string,"ours": Json | null,"problem": string,"settled_at": string | null,"stripe_object_id": string,"stripes": NonNullable<Json>
                  }
                  ComputedFields: never
                  Insert: {
                    "first_seen_at"?: string,"kind": string,"last_seen_at"?: string,"livemode": boolean,"organization_id": string,"ours"?: Json | null,"problem": string,"settled_at"?: string | null,"stripe_object_id": string,"stripes": NonNullable<Json>
                  }
                  Update: {
                    "first_seen_at"?: string,"kind"?: string,"last_seen_at"?: string,"livemode"?: boolean,"organization_id"?: string,"ours"?: Json | null,"problem"?: string,"settled_at"?: string | null,"stripe_object_id"?: string,"stripes"?: NonNullable<Json>
                  }
                  Relationships: [
                    {
      foreignKeyName: "reconciliation_reports_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "reconciliation_reports_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                },"refunds": {
                  Row: {
                    "amount": number,"created_at": string,"currency": string,"failure_reason": string | null,"livemode": boolean,"organization_id": string,"reason": string | null,"status": string,"stripe_fetched_at": string,"stripe_payment_intent_id": string,"stripe_refund_id": string
                  }
                  ComputedFields: never
                  Insert: {
                    "amount": number,"created_at": string,"currency": string,"failure_reason"?: string | null,"livemode"?: boolean,"organization_id": string,"reason"?: string | null,"status": string,"stripe_fetched_at": string,"stripe_payment_intent_id": string,"stripe_refund_id": string
                  }
                  Update: {
                    "amount"?: number,"created_at"?: string,"currency"?: string,"failure_reason"?: string | null,"livemode"?: boolean,"organization_id"?: string,"reason"?: string | null,"status"?: string,"stripe_fetched_at"?: string,"stripe_payment_intent_id"?: string,"stripe_refund_id"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "refunds_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "refunds_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                },"subscription_plans": {
                  Row: {
                    "billing_interval": string,"created_at": string,"credit_expiry": string | null,"credits_per_period": number,"currency": string,"description": string,"features": NonNullable<Json>,"grace_days": number,"id": string,"is_active": boolean,"key": string,"name": string,"rollover_cap": number | null,"rollover_share": number | null,"sort_order": number,"trial_credits": number,"trial_days": number,"unit_amount": number
                  }
                  ComputedFields: never
                  Insert: {
                    "billing_interval"?: string,"created_at"?: string,"credit_expiry"?: string | null,"credits_per_period": number,"currency"?: string,"description"?: string,"features"?: NonNullable<Json>,"grace_days"?: number,"id"?: string,"is_active"?: boolean,"key": string,"name": string,"rollover_cap"?: number | null,"rollover_share"?: number | null,"sort_order"?: number,"trial_credits"?: number,"trial_days"?: number,"unit_amount": number
                  }
                  Update: {
                    "billing_interval"?: string,"created_at"?: string,"credit_expiry"?: string | null,"credits_per_period"?: number,"currency"?: string,"description"?: string,"features"?: NonNullable<Json>,"grace_days"?: number,"id"?: string,"is_active"?: boolean,"key"?: string,"name"?: string,"rollover_cap"?: number | null,"rollover_share"?: number | null,"sort_order"?: number,"trial_credits"?: number,"trial_days"?: number,"unit_amount"?: number
                  }
                  Relationships: [
                    
                  ]
                },"subscriptions": {
                  Row: {
                    "anchor_at": string | null,"billing_interval": string | null,"cancel_at": string | null,"cancel_at_period_end": boolean,"canceled_at": string | null,"created_at": string,"currency": string | null,"current_period_end": string | null,"current_period_start": string | null,"ended_at": string | null,"ends_at": string | null,"id": string,"livemode": boolean,"next_plan_id": string | null,"organization_id": string,"past_due_since": string | null,"pause_behavior": string | null,"pause_resumes_at": string | null,"period_number": number | null,"plan_id": string | null,"quantity": number,"status": string,"stripe_customer_id": string | null,"stripe_fetched_at": string | null,"stripe_price_id": string | null,"stripe_subscription_id": string | null,"timezone": string | null,"trial_end": string | null,"trial_start": string | null,"unit_amount": number | null,"updated_at": string
                  }
                  ComputedFields: never
                  Insert: {
                    "anchor_at"?: string | null,"billing_interval"?: string | null,"cancel_at"?: string | null,"cancel_at_period_end"?: boolean,"canceled_at"?: string | null,"created_at"?: string,"currency"?: string | null,"current_period_end"?: string | null,"current_period_start"?: string | null,"ended_at"?: string | null,"ends_at"?: string | null,"id"?: string,"livemode"?: boolean,"next_plan_id"?: string | null,"organization_id": string,"past_due_since"?: string | null,"pause_behavior"?: string | null,"pause_resumes_at"?: string | null,"period_number"?: number | null,"plan_id"?: string | null,"quantity"?: number,"status": string,"stripe_customer_id"?: string | null,"stripe_fetched_at"?: string | null,"stripe_price_id"?: string | null,"stripe_subscription_id"?: string | null,"timezone"?: string | null,"trial_end"?: string | null,"trial_start"?: string | null,"unit_amount"?: number | null,"updated_at"?: string
                  }
                  Update: {
                    "anchor_at"?: string | null,"billing_interval"?: string | null,"cancel_at"?: string | null,"cancel_at_period_end"?: boolean,"canceled_at"?: string | null,"created_at"?: string,"currency"?: string | null,"current_period_end"?: string | null,"current_period_start"?: string | null,"ended_at"?: string | null,"ends_at"?: string | null,"id"?: string,"livemode"?: boolean,"next_plan_id"?: string | null,"organization_id"?: string,"past_due_since"?: string | null,"pause_behavior"?: string | null,"pause_resumes_at"?: string | null,"period_number"?: number | null,"plan_id"?: string | null,"quantity"?: number,"status"?: string,"stripe_customer_id"?: string | null,"stripe_fetched_at"?: string | null,"stripe_price_id"?: string | null,"stripe_subscription_id"?: string | null,"timezone"?: string | null,"trial_end"?: string | null,"trial_start"?: string | null,"unit_amount"?: number | null,"updated_at"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "subscriptions_next_plan_fkey"
      columns: ["next_plan_id"]
isOneToOne: false
      referencedRelation: "subscription_plans"
      referencedColumns: ["id"]
    },{
      foreignKeyName: "subscriptions_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "subscriptions_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "subscriptions_plan_fkey"
      columns: ["plan_id"]
isOneToOne: false
      referencedRelation: "subscription_plans"
      referencedColumns: ["id"]
    }
                  ]
                }
          }
          Views: {
            "credit_balances": {
                  Row: {
                    "available": number | null,"balance": number | null,"debt": number | null,"held": number | null,"is_blocked": boolean | null,"organization_id": string,"restricted_reason": string | null,"sequence": number | null,"updated_at": string | null
                  }
                  ComputedFields: never
                  Insert: {
                           "available"?: number | null,"balance"?: number | null,"debt"?: number | null,"held"?: number | null,"is_blocked"?: boolean | null,"organization_id"?: string | null,"restricted_reason"?: string | null,"sequence"?: number | null,"updated_at"?: string | null
                         }
                        Update: {
                           "available"?: number | null,"balance"?: number | null,"debt"?: number | null,"held"?: number | null,"is_blocked"?: boolean | null,"organization_id"?: string | null,"restricted_reason"?: string | null,"sequence"?: number | null,"updated_at"?: string | null
                         }
                        Relationships: [
                    
                  ]
                },"credit_grants": {
                  Row: {
                    "activated_at": string | null,"agent_types": (string)[] | null,"amount": number | null,"closed_reason": string | null,"created_at": string | null,"currency": string | null,"department_id": string | null,"effective_at": string | null,"expires_at": string | null,"held": number | null,"id": string | null,"is_open": boolean | null,"metadata": Json | null,"organization_id": string | null,"parent_grant_id": string | null,"period_ends_at": string | null,"period_start": string | null,"priority": number | null,"remaining": number | null,"rollover_cap": number | null,"source": string | null,"source_reference": string | null,"subscription_id": string | null,"transaction_id": string | null,"unit_cost": number | null
                  }
                  ComputedFields: never
                  Insert: {
                           "activated_at"?: string | null,"agent_types"?: (string)[] | null,"amount"?: number | null,"closed_reason"?: string | null,"created_at"?: string | null,"currency"?: string | null,"department_id"?: string | null,"effective_at"?: string | null,"expires_at"?: string | null,"held"?: number | null,"id"?: string | null,"is_open"?: boolean | null,"metadata"?: Json | null,"organization_id"?: string | null,"parent_grant_id"?: string | null,"period_ends_at"?: string | null,"period_start"?: string | null,"priority"?: number | null,"remaining"?: number | null,"rollover_cap"?: number | null,"source"?: string | null,"source_reference"?: string | null,"subscription_id"?: string | null,"transaction_id"?: string | null,"unit_cost"?: number | null
                         }
                        Update: {
                           "activated_at"?: string | null,"agent_types"?: (string)[] | null,"amount"?: number | null,"closed_reason"?: string | null,"created_at"?: string | null,"currency"?: string | null,"department_id"?: string | null,"effective_at"?: string | null,"expires_at"?: string | null,"held"?: number | null,"id"?: string | null,"is_open"?: boolean | null,"metadata"?: Json | null,"organization_id"?: string | null,"parent_grant_id"?: string | null,"period_ends_at"?: string | null,"period_start"?: string | null,"priority"?: number | null,"remaining"?: number | null,"rollover_cap"?: number | null,"source"?: string | null,"source_reference"?: string | null,"subscription_id"?: string | null,"transaction_id"?: string | null,"unit_cost"?: number | null
                         }
                        Relationships: [
                    
                  ]
                },"credit_usage": {
                  Row: {
                    "action": string | null,"agent_key_id": string | null,"agent_type": string | null,"amount": number | null,"balance_after": number | null,"created_at": string,"department_id": string | null,"hold_id": string | null,"idempotency_key": string | null,"limits": Json | null,"metadata": Json | null,"model": string | null,"organization_id": string,"price_ids": (number)[] | null,"quantities": Json | null,"requested_amount": number | null,"run_id": string | null,"sequence": number,"transaction_id": string,"user_id": string | null
                  }
                  ComputedFields: never
                  Insert: {
                           "action"?: string | null,"agent_key_id"?: string | null,"agent_type"?: string | null,"amount"?: number | null,"balance_after"?: number | null,"created_at"?: string | null,"department_id"?: string | null,"hold_id"?: string | null,"idempotency_key"?: string | null,"limits"?: Json | null,"metadata"?: Json | null,"model"?: string | null,"organization_id"?: string | null,"price_ids"?: (number)[] | null,"quantities"?: Json | null,"requested_amount"?: number | null,"run_id"?: string | null,"sequence"?: number | null,"transaction_id"?: string | null,"user_id"?: string | null
                         }
                        Update: {
                           "action"?: string | null,"agent_key_id"?: string | null,"agent_type"?: string | null,"amount"?: number | null,"balance_after"?: number | null,"created_at"?: string | null,"department_id"?: string | null,"hold_id"?: string | null,"idempotency_key"?: string | null,"limits"?: Json | null,"metadata"?: Json | null,"model"?: string | null,"organization_id"?: string | null,"price_ids"?: (number)[] | null,"quantities"?: Json | null,"requested_amount"?: number | null,"run_id"?: string | null,"sequence"?: number | null,"transaction_id"?: string | null,"user_id"?: string | null
                         }
                        Relationships: [
                    
                  ]
                },"department_credit_limits": {
                  Row: {
                    "alert_at": (number)[],"amount": number | null,"department_id": string,"department_name": string,"limit_id": string,"limit_window": string,"mode": string,"organization_id": string,"remaining": number | null,"resets_at": string | null,"timezone": string,"used": number | null,"window_start": string | null
                  }
                  ComputedFields: never
                  Insert: {
                           "alert_at"?: (number)[] | null,"amount"?: number | null,"department_id"?: string | null,"department_name"?: string | null,"limit_id"?: string | null,"limit_window"?: string | null,"mode"?: string | null,"organization_id"?: string | null,"remaining"?: number | null,"resets_at"?: string | null,"timezone"?: string | null,"used"?: number | null,"window_start"?: string | null
                         }
                        Update: {
                           "alert_at"?: (number)[] | null,"amount"?: number | null,"department_id"?: string | null,"department_name"?: string | null,"limit_id"?: string | null,"limit_window"?: string | null,"mode"?: string | null,"organization_id"?: string | null,"remaining"?: number | null,"resets_at"?: string | null,"timezone"?: string | null,"used"?: number | null,"window_start"?: string | null
                         }
                        Relationships: [
                    {
      foreignKeyName: "credit_limits_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "credit_balances"
      referencedColumns: ["organization_id"]
    },{
      foreignKeyName: "credit_limits_organization_fkey"
      columns: ["organization_id"]
isOneToOne: false
      referencedRelation: "organizations"
      referencedColumns: ["organization_id"]
    }
                  ]
                }
          }
          Functions: {
            "accept_invitation":
{ Args: { "token": string }; Returns: {
              "created_at": string,
"department_id": string | null,
"organization_id": string,
"role": string,
"user_id": string
            }
                          SetofOptions: {
        from: "*"
        to: "organization_members"
        isOneToOne: true
        isSetofReturn: false
      } },
"adjust_credits":
{ Args: { "delta": number,"idempotency_key": string,"organization_id": string,"reason": string }; Returns: Database["billing"]['CompositeTypes']["credit_receipt"]
                          SetofOptions: {
        from: "*"
        to: "credit_receipt"
        isOneToOne: true
        isSetofReturn: false
      } },
"advance_test_clock":
{ Args: { "organization_id": string,"to": string }; Returns: {
              "created_at": string,
"id": string,
"is_mirrored": boolean,
"ledger_number": number,
"name": string,
"organization_id": string,
"over_capture_policy": string,
"overdraft_limit": number,
"restricted_from": string | null,
"restricted_reason": string | null,
"revision": number,
"test_clock": string | null
            }
                          SetofOptions: {
        from: "*"
        to: "organizations"
        isOneToOne: true
        isSetofReturn: false
      } },
"am_i_platform_admin":
{ Args: Record<PropertyKey, never>; Returns: boolean
                           },
"attach_checkout_session":
{ Args: { "checkout_session_id": string,"expires_at": string,"organization_id": string,"stripe_session_id": string,"url": string }; Returns: string
                           },
"begin_auto_topup":
{ Args: { "livemode": boolean,"organization_id": string }; Returns: Database["billing"]['CompositeTypes']["auto_topup_call"]
                          SetofOptions: {
        from: "*"
        to: "auto_topup_call"
        isOneToOne: true
        isSetofReturn: false
      } },
"cancel_free_subscription":
{ Args: { "at_period_end"?: boolean,"organization_id": string }; Returns: {
              "anchor_at": string | null,
"billing_interval": string | null,
"cancel_at": string | null,
"cancel_at_period_end": boolean,
"canceled_at": string | null,
"created_at": string,
"currency": string | null,
"current_period_end": string | null,
"current_period_start": string | null,
"ended_at": string | null,
"ends_at": string | null,
"id": string,
"livemode": boolean,
"next_plan_id": string | null,
"organization_id": string,
"past_due_since": string | null,
"pause_behavior": string | null,
"pause_resumes_at": string | null,
"period_number": number | null,
"plan_id": string | null,
"quantity": number,
"status": string,
"stripe_customer_id": string | null,
"stripe_fetched_at": string | null,
"stripe_price_id": string | null,
"stripe_subscription_id": string | null,
"timezone": string | null,
"trial_end": string | null,
"trial_start": string | null,
"unit_amount": number | null,
"updated_at": string
            }
                          SetofOptions: {
        from: "*"
        to: "subscriptions"
        isOneToOne: true
        isSetofReturn: false
      } },
"capture_hold":
{ Args: { "amount"?: number,"hold_id": string,"idempotency_key"?: string,"quantities"?: Json }; Returns: Database["billing"]['CompositeTypes']["credit_receipt"]
                          SetofOptions: {
        from: "*"
        to: "credit_receipt"
        isOneToOne: true
        isSetofReturn: false
      } },
"check_credits":
{ Args: { "action": string,"agent_type": string,"amount"?: number,"department_id"?: string,"metadata"?: Json,"organization_id"?: string,"quantities"?: Json,"run_id"?: string }; Returns: Database["billing"]['CompositeTypes']["credit_check"]
                          SetofOptions: {
        from: "*"
        to: "credit_check"
        isOneToOne: true
        isSetofReturn: false
      } },
"close_platform_alert":
{ Args: { "alert_id": string }; Returns: undefined
                           },
"close_reconciliation":
{ Args: { "counts": Json,"run_id": string }; Returns: number
                           },
"compare_with_stripe":
{ Args: { "kind": string,"livemode": boolean,"objects": Json }; Returns: number
                           },
"consume_credits":
{ Args: { "action": string,"agent_type": string,"amount"?: number,"department_id"?: string,"idempotency_key"?: string,"metadata"?: Json,"organization_id"?: string,"quantities"?: Json,"run_id"?: string }; Returns: Database["billing"]['CompositeTypes']["credit_receipt"]
                          SetofOptions: {
        from: "*"
        to: "credit_receipt"
        isOneToOne: true
        isSetofReturn: false
      } },
"consume_credits_batch":
{ Args: { "atomic"?: boolean,"events": Json,"organization_id"?: string }; Returns: Database["billing"]['CompositeTypes']["credit_batch_result"][]
                          SetofOptions: {
        from: "*"
        to: "credit_batch_result"
        isOneToOne: false
        isSetofReturn: true
      } },
"create_agent_key":
{ Args: { "agent_types"?: (string)[],"department_id"?: string,"expires_at"?: string,"name": string,"organization_id": string,"reason"?: string,"scopes"?: (string)[],"spend_limit"?: number,"spend_window"?: string }; Returns: Database["billing"]['CompositeTypes']["created_agent_key"]
                          SetofOptions: {
        from: "*"
        to: "created_agent_key"
        isOneToOne: true
        isSetofReturn: false
      } },
"create_department":
{ Args: { "name": string,"organization_id": string,"reason"?: string }; Returns: {
              "created_at": string,
"id": string,
"name": string,
"organization_id": string
            }
                          SetofOptions: {
        from: "*"
        to: "departments"
        isOneToOne: true
        isSetofReturn: false
      } },
"create_organization":
{ Args: { "name": string,"owner_user_id"?: string }; Returns: {
              "created_at": string,
"id": string,
"is_mirrored": boolean,
"ledger_number": number,
"name": string,
"organization_id": string,
"over_capture_policy": string,
"overdraft_limit": number,
"restricted_from": string | null,
"restricted_reason": string | null,
"revision": number,
"test_clock": string | null
            }
                          SetofOptions: {
        from: "*"
        to: "organizations"
        isOneToOne: true
        isSetofReturn: false
      } },
"create_promotion_code":
{ Args: { "code": string,"credit_expiry"?: string,"credits": number,"ends_at"?: string,"max_redemptions"?: number }; Returns: Database["billing"]['CompositeTypes']["promotion_code"]
                          SetofOptions: {
        from: "*"
        to: "promotion_code"
        isOneToOne: true
        isSetofReturn: false
      } },
"describe_agent_key":
{ Args: Record<PropertyKey, never>; Returns: Database["billing"]['CompositeTypes']["agent_key_facts"]
                          SetofOptions: {
        from: "*"
        to: "agent_key_facts"
        isOneToOne: true
        isSetofReturn: false
      } },
"due_auto_topups":
{ Args: { "limit"?: number }; Returns: string[]
                           },
"erase_address":
{ Args: { "email": string,"reason"?: string }; Returns: Database["billing"]['CompositeTypes']["erased_user"]
                          SetofOptions: {
        from: "*"
        to: "erased_user"
        isOneToOne: true
        isSetofReturn: false
      } },
"erase_user":
{ Args: { "reason"?: string,"user_id": string }; Returns: Database["billing"]['CompositeTypes']["erased_user"]
                          SetofOptions: {
        from: "*"
        to: "erased_user"
        isOneToOne: true
        isSetofReturn: false
      } },
"explain_transaction":
{ Args: { "transaction_id": string }; Returns: Database["billing"]['CompositeTypes']["credit_receipt"]
                          SetofOptions: {
        from: "*"
        to: "credit_receipt"
        isOneToOne: true
        isSetofReturn: false
      } },
"extend_hold":
{ Args: { "additional"?: number,"expires_in"?: string,"hold_id": string,"metered"?: number }; Returns: Database["billing"]['CompositeTypes']["credit_hold"]
                          SetofOptions: {
        from: "*"
        to: "credit_hold"
        isOneToOne: true
        isSetofReturn: false
      } },
"fail_auto_topup":
{ Args: { "attempt_id": string,"code": string,"message": string,"organization_id": string }; Returns: {
              "amount": number,
"available_before": number,
"called_at": string | null,
"calls": number,
"created_at": string,
"credit_expiry": string | null,
"credits": number,
"currency": string,
"failure_code": string | null,
"failure_message": string | null,
"grant_id": string | null,
"id": string,
"livemode": boolean,
"organization_id": string,
"package_id": string,
"payment_id": string | null,
"recorded_at": string,
"status": string,
"stripe_customer_id": string,
"stripe_fetched_at": string | null,
"stripe_payment_intent_id": string | null,
"stripe_payment_method_id": string
            }
                          SetofOptions: {
        from: "*"
        to: "auto_topup_attempts"
        isOneToOne: true
        isSetofReturn: false
      } },
"find_auto_topup_action":
{ Args: { "organization_id": string,"user_id": string }; Returns: {
              "amount": number,
"available_before": number,
"called_at": string | null,
"calls": number,
"created_at": string,
"credit_expiry": string | null,
"credits": number,
"currency": string,
"failure_code": string | null,
"failure_message": string | null,
"grant_id": string | null,
"id": string,
"livemode": boolean,
"organization_id": string,
"package_id": string,
"payment_id": string | null,
"recorded_at": string,
"status": string,
"stripe_customer_id": string,
"stripe_fetched_at": string | null,
"stripe_payment_intent_id": string | null,
"stripe_payment_method_id": string
            }
                          SetofOptions: {
        from: "*"
        to: "auto_topup_attempts"
        isOneToOne: true
        isSetofReturn: false
      } },
"find_checkout":
{ Args: { "stripe_session_id": string,"user_id": string }; Returns: Database["billing"]['CompositeTypes']["checkout_outcome"]
                          SetofOptions: {
        from: "*"
        to: "checkout_outcome"
        isOneToOne: true
        isSetofReturn: false
      } },
"find_payment_method":
{ Args: { "organization_id": string,"payment_method_id": string,"user_id": string }; Returns: string
                           },
"forget_customer":
{ Args: { "stripe_customer_id": string }; Returns: string
                           },
"fulfil_checkout":
{ Args: { "facts": Json }; Returns: Database["billing"]['CompositeTypes']["checkout_outcome"]
                          SetofOptions: {
        from: "*"
        to: "checkout_outcome"
        isOneToOne: true
        isSetofReturn: false
      } },
"get_credit_balance":
{ Args: { "as_of"?: string,"organization_id"?: string }; Returns: Database["billing"]['CompositeTypes']["credit_balance"]
                          SetofOptions: {
        from: "*"
        to: "credit_balance"
        isOneToOne: true
        isSetofReturn: false
      } },
"get_usage_breakdown":
{ Args: { "from": string,"group_by"?: string,"organization_id": string,"to": string,"top_n"?: number }; Returns: {
              "amount": number,"consumption_count": number,"group_key": string,"is_other": boolean
            }[]
                           },
"get_usage_forecast":
{ Args: { "organization_id": string }; Returns: Database["billing"]['CompositeTypes']["usage_forecast"]
                          SetofOptions: {
        from: "*"
        to: "usage_forecast"
        isOneToOne: true
        isSetofReturn: false
      } },
"get_usage_timeseries":
{ Args: { "bucket"?: string,"from": string,"group_by"?: string,"organization_id": string,"timezone"?: string,"to": string }; Returns: {
              "amount": number,"bucket_start": string,"consumption_count": number,"group_key": string
            }[]
                           },
"grant_credits":
{ Args: { "agent_types"?: (string)[],"amount": number,"department_id"?: string,"effective_at"?: string,"expires_at"?: string,"metadata"?: Json,"organization_id": string,"priority"?: number,"source": string,"source_reference"?: string,"unit_cost"?: number }; Returns: Database["billing"]['CompositeTypes']["grant_receipt"]
                          SetofOptions: {
        from: "*"
        to: "grant_receipt"
        isOneToOne: true
        isSetofReturn: false
      } },
"grant_credits_bulk":
{ Args: { "batch_key": string,"grants": Json }; Returns: Database["billing"]['CompositeTypes']["grant_batch"]
                          SetofOptions: {
        from: "*"
        to: "grant_batch"
        isOneToOne: true
        isSetofReturn: false
      } },
"grant_trial":
{ Args: { "amount": number,"card_fingerprint"?: string,"ends_at": string,"organization_id": string,"reference": string,"subscription_id"?: string }; Returns: Database["billing"]['CompositeTypes']["trial_grant"]
                          SetofOptions: {
        from: "*"
        to: "trial_grant"
        isOneToOne: true
        isSetofReturn: false
      } },
"hold_credits":
{ Args: { "action": string,"agent_type": string,"amount"?: number,"department_id"?: string,"expires_in"?: string,"idempotency_key"?: string,"metadata"?: Json,"organization_id"?: string,"quantities"?: Json,"run_id"?: string }; Returns: Database["billing"]['CompositeTypes']["credit_hold"]
                          SetofOptions: {
        from: "*"
        to: "credit_hold"
        isOneToOne: true
        isSetofReturn: false
      } },
"invite_member":
{ Args: { "department_id"?: string,"email": string,"organization_id": string,"reason"?: string,"role": string }; Returns: Database["billing"]['CompositeTypes']["created_invitation"]
                          SetofOptions: {
        from: "*"
        to: "created_invitation"
        isOneToOne: true
        isSetofReturn: false
      } },
"last_reconciliation":
{ Args: { "livemode": boolean }; Returns: string
                           },
"leave_organization":
{ Args: { "organization_id": string,"reason"?: string }; Returns: {
              "created_at": string,
"department_id": string | null,
"organization_id": string,
"role": string,
"user_id": string
            }
                          SetofOptions: {
        from: "*"
        to: "organization_members"
        isOneToOne: true
        isSetofReturn: false
      } },
"list_catalogue":
{ Args: { "livemode": boolean }; Returns: Database["billing"]['CompositeTypes']["catalogue_entry"][]
                          SetofOptions: {
        from: "*"
        to: "catalogue_entry"
        isOneToOne: false
        isSetofReturn: true
      } },
"list_platform_alerts":
{ Args: { "include_resolved"?: boolean }; Returns: Database["billing"]['CompositeTypes']["platform_alert"][]
                          SetofOptions: {
        from: "*"
        to: "platform_alert"
        isOneToOne: false
        isSetofReturn: true
      } },
"list_reconciliation_reports":
{ Args: { "limit"?: number,"open"?: boolean }; Returns: {
              "first_seen_at": string,
"kind": string,
"last_seen_at": string,
"livemode": boolean,
"organization_id": string,
"ours": Json | null,
"problem": string,
"settled_at": string | null,
"stripe_object_id": string,
"stripes": NonNullable<Json>
            }[]
                          SetofOptions: {
        from: "*"
        to: "reconciliation_reports"
        isOneToOne: false
        isSetofReturn: true
      } },
"list_stripe_events":
{ Args: { "limit"?: number,"status"?: string }; Returns: Database["billing"]['CompositeTypes']["stripe_event_summary"][]
                          SetofOptions: {
        from: "*"
        to: "stripe_event_summary"
        isOneToOne: false
        isSetofReturn: true
      } },
"missed_stripe_events":
{ Args: { "event_ids": (string)[] }; Returns: string[]
                           },
"open_customer":
{ Args: { "email": string,"livemode": boolean,"organization_id": string,"user_id": string }; Returns: Database["billing"]['CompositeTypes']["customer_claim"]
                          SetofOptions: {
        from: "*"
        to: "customer_claim"
        isOneToOne: true
        isSetofReturn: false
      } },
"open_reconciliation":
{ Args: { "comparison"?: boolean,"livemode": boolean }; Returns: Database["billing"]['CompositeTypes']["reconciliation_run"]
                          SetofOptions: {
        from: "*"
        to: "reconciliation_run"
        isOneToOne: true
        isSetofReturn: false
      } },
"open_subscription":
{ Args: { "action": string,"organization_id": string,"user_id": string }; Returns: Database["billing"]['CompositeTypes']["subscription_handle"]
                          SetofOptions: {
        from: "*"
        to: "subscription_handle"
        isOneToOne: true
        isSetofReturn: false
      } },
"prepare_checkout":
{ Args: { "cancel_url": string,"email": string,"livemode": boolean,"organization_id": string,"package_id": string,"package_key": string,"plan_id": string,"success_url": string,"ui_mode": string,"user_id": string }; Returns: Database["billing"]['CompositeTypes']["checkout_preparation"]
                          SetofOptions: {
        from: "*"
        to: "checkout_preparation"
        isOneToOne: true
        isSetofReturn: false
      } },
"prepare_plan_change":
{ Args: { "livemode": boolean,"mode": string,"organization_id": string,"plan_id": string,"user_id": string }; Returns: Database["billing"]['CompositeTypes']["plan_change"]
                          SetofOptions: {
        from: "*"
        to: "plan_change"
        isOneToOne: true
        isSetofReturn: false
      } },
"process_stripe_event":
{ Args: { "event": Json,"facts": Json,"livemode": boolean }; Returns: Database["billing"]['CompositeTypes']["stripe_event_outcome"]
                          SetofOptions: {
        from: "*"
        to: "stripe_event_outcome"
        isOneToOne: true
        isSetofReturn: false
      } },
"rebuild_ledger":
{ Args: { "organization_id"?: string }; Returns: Database["billing"]['CompositeTypes']["rebuild_result"][]
                          SetofOptions: {
        from: "*"
        to: "rebuild_result"
        isOneToOne: false
        isSetofReturn: true
      } },
"record_auto_topup":
{ Args: { "facts": Json }; Returns: {
              "amount": number,
"available_before": number,
"called_at": string | null,
"calls": number,
"created_at": string,
"credit_expiry": string | null,
"credits": number,
"currency": string,
"failure_code": string | null,
"failure_message": string | null,
"grant_id": string | null,
"id": string,
"livemode": boolean,
"organization_id": string,
"package_id": string,
"payment_id": string | null,
"recorded_at": string,
"status": string,
"stripe_customer_id": string,
"stripe_fetched_at": string | null,
"stripe_payment_intent_id": string | null,
"stripe_payment_method_id": string
            }
                          SetofOptions: {
        from: "*"
        to: "auto_topup_attempts"
        isOneToOne: true
        isSetofReturn: false
      } },
"record_checkout_error":
{ Args: { "checkout_session_id": string,"error": string,"is_definite": boolean,"organization_id": string }; Returns: undefined
                           },
"record_customer":
{ Args: { "email": string,"livemode": boolean,"name": string,"organization_id": string,"stripe_customer_id": string }; Returns: string
                           },
"record_payment_method":
{ Args: { "facts": Json,"make_default"?: boolean }; Returns: {
              "brand": string | null,
"created_at": string,
"detached_at": string | null,
"exp_month": number | null,
"exp_year": number | null,
"id": string,
"is_default": boolean,
"last4": string | null,
"organization_id": string,
"stripe_fetched_at": string | null,
"stripe_payment_method_id": string,
"type": string
            }
                          SetofOptions: {
        from: "*"
        to: "payment_methods"
        isOneToOne: true
        isSetofReturn: false
      } },
"record_stripe_event_failure":
{ Args: { "error": string,"event": Json,"facts"?: Json,"park_after": number }; Returns: Database["billing"]['CompositeTypes']["stripe_event_outcome"]
                          SetofOptions: {
        from: "*"
        to: "stripe_event_outcome"
        isOneToOne: true
        isSetofReturn: false
      } },
"record_stripe_price":
{ Args: { "billing_interval": string,"currency": string,"livemode": boolean,"stripe_price_id": string,"stripe_product_id": string,"subject_id": string,"subject_type": string,"unit_amount": number }; Returns: undefined
                           },
"redeem_promotion_code":
{ Args: { "code": string,"organization_id": string }; Returns: Database["billing"]['CompositeTypes']["grant_receipt"]
                          SetofOptions: {
        from: "*"
        to: "grant_receipt"
        isOneToOne: true
        isSetofReturn: false
      } },
"refund_consumption":
{ Args: { "amount"?: number,"idempotency_key"?: string,"reason"?: string,"transaction_id": string }; Returns: Database["billing"]['CompositeTypes']["credit_receipt"]
                          SetofOptions: {
        from: "*"
        to: "credit_receipt"
        isOneToOne: true
        isSetofReturn: false
      } },
"release_hold":
{ Args: { "hold_id": string }; Returns: Database["billing"]['CompositeTypes']["credit_hold"]
                          SetofOptions: {
        from: "*"
        to: "credit_hold"
        isOneToOne: true
        isSetofReturn: false
      } },
"remove_member":
{ Args: { "organization_id": string,"reason"?: string,"user_id": string }; Returns: {
              "created_at": string,
"department_id": string | null,
"organization_id": string,
"role": string,
"user_id": string
            }
                          SetofOptions: {
        from: "*"
        to: "organization_members"
        isOneToOne: true
        isSetofReturn: false
      } },
"renew_failed_customer_claim":
{ Args: { "claim_id": string,"organization_id": string }; Returns: undefined
                           },
"reopen_stripe_event":
{ Args: { "event_id": string }; Returns: Json
                           },
"replay_stripe_events":
{ Args: { "event_id"?: string,"status"?: string }; Returns: Database["billing"]['CompositeTypes']["stripe_event_outcome"][]
                          SetofOptions: {
        from: "*"
        to: "stripe_event_outcome"
        isOneToOne: false
        isSetofReturn: true
      } },
"request_approval":
{ Args: { "action": string,"agent_type": string,"amount"?: number,"department_id"?: string,"idempotency_key"?: string,"metadata"?: Json,"organization_id"?: string,"quantities"?: Json,"run_id"?: string }; Returns: {
              "action": string | null,
"additional": number | null,
"agent_key_id": string | null,
"agent_type": string | null,
"created_at": string,
"department_id": string | null,
"id": string,
"idempotency_key": string | null,
"limit_id": string,
"organization_id": string,
"required": number | null,
"resolved_at": string | null,
"resolved_by": string | null,
"run_id": string | null,
"status": string,
"user_id": string | null,
"window_start": string
            }
                          SetofOptions: {
        from: "*"
        to: "credit_approvals"
        isOneToOne: true
        isSetofReturn: false
      } },
"resolve_approval":
{ Args: { "additional"?: number,"approve": boolean,"id": string }; Returns: {
              "action": string | null,
"additional": number | null,
"agent_key_id": string | null,
"agent_type": string | null,
"created_at": string,
"department_id": string | null,
"id": string,
"idempotency_key": string | null,
"limit_id": string,
"organization_id": string,
"required": number | null,
"resolved_at": string | null,
"resolved_by": string | null,
"run_id": string | null,
"status": string,
"user_id": string | null,
"window_start": string
            }
                          SetofOptions: {
        from: "*"
        to: "credit_approvals"
        isOneToOne: true
        isSetofReturn: false
      } },
"revoke_agent_key":
{ Args: { "key_id": string,"reason"?: string }; Returns: {
              "agent_types": (string)[] | null,
"created_at": string,
"created_by": string | null,
"department_id": string | null,
"expires_at": string | null,
"key_id": string,
"last_used_at": string | null,
"name": string,
"organization_id": string,
"revoked_at": string | null,
"root_key_id": string,
"scopes": (string)[],
"spend_limit": number | null,
"spend_window": string
            }
                          SetofOptions: {
        from: "*"
        to: "agent_keys"
        isOneToOne: true
        isSetofReturn: false
      } },
"revoke_invitation":
{ Args: { "invitation_id": string,"reason"?: string }; Returns: {
              "accepted_at": string | null,
"created_at": string,
"department_id": string | null,
"email": string,
"expires_at": string,
"id": string,
"invited_by": string | null,
"organization_id": string,
"revoked_at": string | null,
"role": string
            }
                          SetofOptions: {
        from: "*"
        to: "invitations"
        isOneToOne: true
        isSetofReturn: false
      } },
"rotate_agent_key":
{ Args: { "key_id": string,"overlap"?: string,"reason"?: string }; Returns: Database["billing"]['CompositeTypes']["created_agent_key"]
                          SetofOptions: {
        from: "*"
        to: "created_agent_key"
        isOneToOne: true
        isSetofReturn: false
      } },
"run_due_jobs":
{ Args: { "now"?: string }; Returns: Database["billing"]['CompositeTypes']["job_result"][]
                          SetofOptions: {
        from: "*"
        to: "job_result"
        isOneToOne: false
        isSetofReturn: true
      } },
"set_agent_action_cost":
{ Args: { "action": string,"agent_type": string,"caller_priced"?: boolean,"credit_cost": number,"description"?: string,"effective_from"?: string,"metric"?: string,"organization_id"?: string }; Returns: {
              "action": string,
"agent_type": string,
"caller_priced": boolean,
"created_at": string,
"credit_cost": number,
"description": string,
"effective_from": string,
"effective_to": string | null,
"id": number,
"metric": string,
"organization_id": string | null
            }
                          SetofOptions: {
        from: "*"
        to: "agent_action_costs"
        isOneToOne: true
        isSetofReturn: false
      } },
"set_auto_topup":
{ Args: { "amount"?: number,"consent"?: string,"enabled": boolean,"monthly_cap"?: number,"organization_id": string,"package_id"?: string,"target"?: number,"threshold"?: number }; Returns: {
              "consecutive_declines": number,
"consent_text": string | null,
"consented_at": string | null,
"consented_by": string | null,
"cooldown": string,
"currency": string,
"is_enabled": boolean,
"monthly_cap": number | null,
"organization_id": string,
"package_id": string | null,
"paused_reason": string | null,
"target_balance": number | null,
"threshold": number,
"topup_amount": number | null,
"updated_at": string
            }
                          SetofOptions: {
        from: "*"
        to: "auto_topups"
        isOneToOne: true
        isSetofReturn: false
      } },
"set_credit_limit":
{ Args: { "alert_at"?: (number)[],"amount": number,"mode"?: string,"organization_id"?: string,"subject_id": string,"subject_type": string,"timezone"?: string,"window": string }; Returns: {
              "alert_at": (number)[],
"amount": number,
"counted_from": string | null,
"created_at": string,
"id": string,
"limit_window": string,
"mode": string,
"organization_id": string,
"subject_id": string,
"subject_type": string,
"timezone": string,
"updated_at": string
            }
                          SetofOptions: {
        from: "*"
        to: "credit_limits"
        isOneToOne: true
        isSetofReturn: false
      } },
"set_member_role":
{ Args: { "department_id"?: string,"organization_id": string,"reason"?: string,"role": string,"user_id": string }; Returns: {
              "created_at": string,
"department_id": string | null,
"organization_id": string,
"role": string,
"user_id": string
            }
                          SetofOptions: {
        from: "*"
        to: "organization_members"
        isOneToOne: true
        isSetofReturn: false
      } },
"set_request_limit":
{ Args: { "name": string,"organization_id"?: string,"per"?: string,"reason"?: string,"requests": number }; Returns: Database["billing"]['CompositeTypes']["request_limit"]
                          SetofOptions: {
        from: "*"
        to: "request_limit"
        isOneToOne: true
        isSetofReturn: false
      } },
"set_spending_policy":
{ Args: { "organization_id": string,"over_capture_policy"?: string,"overdraft_limit"?: number,"reason": string }; Returns: {
              "created_at": string,
"id": string,
"is_mirrored": boolean,
"ledger_number": number,
"name": string,
"organization_id": string,
"over_capture_policy": string,
"overdraft_limit": number,
"restricted_from": string | null,
"restricted_reason": string | null,
"revision": number,
"test_clock": string | null
            }
                          SetofOptions: {
        from: "*"
        to: "organizations"
        isOneToOne: true
        isSetofReturn: false
      } },
"set_subscription_plan":
{ Args: { "key": string,"terms": Json }; Returns: {
              "billing_interval": string,
"created_at": string,
"credit_expiry": string | null,
"credits_per_period": number,
"currency": string,
"description": string,
"features": NonNullable<Json>,
"grace_days": number,
"id": string,
"is_active": boolean,
"key": string,
"name": string,
"rollover_cap": number | null,
"rollover_share": number | null,
"sort_order": number,
"trial_credits": number,
"trial_days": number,
"unit_amount": number
            }
                          SetofOptions: {
        from: "*"
        to: "subscription_plans"
        isOneToOne: true
        isSetofReturn: false
      } },
"start_free_subscription":
{ Args: { "anchor"?: string,"organization_id": string,"plan_id"?: string,"plan_key"?: string,"timezone"?: string }; Returns: {
              "anchor_at": string | null,
"billing_interval": string | null,
"cancel_at": string | null,
"cancel_at_period_end": boolean,
"canceled_at": string | null,
"created_at": string,
"currency": string | null,
"current_period_end": string | null,
"current_period_start": string | null,
"ended_at": string | null,
"ends_at": string | null,
"id": string,
"livemode": boolean,
"next_plan_id": string | null,
"organization_id": string,
"past_due_since": string | null,
"pause_behavior": string | null,
"pause_resumes_at": string | null,
"period_number": number | null,
"plan_id": string | null,
"quantity": number,
"status": string,
"stripe_customer_id": string | null,
"stripe_fetched_at": string | null,
"stripe_price_id": string | null,
"stripe_subscription_id": string | null,
"timezone": string | null,
"trial_end": string | null,
"trial_start": string | null,
"unit_amount": number | null,
"updated_at": string
            }
                          SetofOptions: {
        from: "*"
        to: "subscriptions"
        isOneToOne: true
        isSetofReturn: false
      } },
"sync_organization":
{ Args: { "members": Json,"name": string,"organization_id": string,"reason"?: string }; Returns: {
              "created_at": string,
"id": string,
"is_mirrored": boolean,
"ledger_number": number,
"name": string,
"organization_id": string,
"over_capture_policy": string,
"overdraft_limit": number,
"restricted_from": string | null,
"restricted_reason": string | null,
"revision": number,
"test_clock": string | null
            }
                          SetofOptions: {
        from: "*"
        to: "organizations"
        isOneToOne: true
        isSetofReturn: false
      } },
"sync_subscription":
{ Args: { "facts": Json }; Returns: {
              "anchor_at": string | null,
"billing_interval": string | null,
"cancel_at": string | null,
"cancel_at_period_end": boolean,
"canceled_at": string | null,
"created_at": string,
"currency": string | null,
"current_period_end": string | null,
"current_period_start": string | null,
"ended_at": string | null,
"ends_at": string | null,
"id": string,
"livemode": boolean,
"next_plan_id": string | null,
"organization_id": string,
"past_due_since": string | null,
"pause_behavior": string | null,
"pause_resumes_at": string | null,
"period_number": number | null,
"plan_id": string | null,
"quantity": number,
"status": string,
"stripe_customer_id": string | null,
"stripe_fetched_at": string | null,
"stripe_price_id": string | null,
"stripe_subscription_id": string | null,
"timezone": string | null,
"trial_end": string | null,
"trial_start": string | null,
"unit_amount": number | null,
"updated_at": string
            }[]
                          SetofOptions: {
        from: "*"
        to: "subscriptions"
        isOneToOne: false
        isSetofReturn: true
      } },
"transfer_credits":
{ Args: { "amount": number,"from_department_id": string,"idempotency_key": string,"to_department_id": string }; Returns: Database["billing"]['CompositeTypes']["credit_receipt"]
                          SetofOptions: {
        from: "*"
        to: "credit_receipt"
        isOneToOne: true
        isSetofReturn: false
      } },
"transfer_ownership":
{ Args: { "organization_id": string,"reason"?: string,"user_id": string }; Returns: {
              "created_at": string,
"department_id": string | null,
"organization_id": string,
"role": string,
"user_id": string
            }
                          SetofOptions: {
        from: "*"
        to: "organization_members"
        isOneToOne: true
        isSetofReturn: false
      } },
"verify_ledger":
{ Args: { "organization_id"?: string }; Returns: Database["billing"]['CompositeTypes']["ledger_violation"][]
                          SetofOptions: {
        from: "*"
        to: "ledger_violation"
        isOneToOne: false
        isSetofReturn: true
      } },
"void_grant":
{ Args: { "grant_id": string,"reason": string }; Returns: Database["billing"]['CompositeTypes']["grant_receipt"]
                          SetofOptions: {
        from: "*"
        to: "grant_receipt"
        isOneToOne: true
        isSetofReturn: false
      } }
          }
          Enums: {
            [_ in never]: never
          }
          CompositeTypes: {
            "agent_key_facts": {
                        "key_id": string | null,"organization_id": string | null,"name": string | null,"department_id": string | null,"agent_types": (string)[] | null,"scopes": (string)[] | null,"spend_limit": number | null,"spend_window": string | null,"expires_at": string | null
                      },"auto_topup_call": {
                        "step": string | null,"organization_id": string | null,"attempt_id": string | null,"amount": number | null,"currency": string | null,"credits": string | null,"stripe_customer_id": string | null,"stripe_payment_method_id": string | null,"stripe_payment_intent_id": string | null,"must_look_up": boolean | null,"recorded_at": string | null
                      },"catalogue_entry": {
                        "subject_type": string | null,"subject_id": string | null,"key": string | null,"name": string | null,"description": string | null,"is_active": boolean | null,"unit_amount": number | null,"currency": string | null,"billing_interval": string | null,"stripe_product_id": string | null,"stripe_price_id": string | null
                      },"checkout_outcome": {
                        "organization_id": string | null,"checkout_session_id": string | null,"stripe_session_id": string | null,"mode": string | null,"status": string | null,"name": string | null,"credits": string | null,"amount": number | null,"currency": string | null,"payment_id": string | null,"payment_status": string | null,"failure_code": string | null,"failure_message": string | null,"receipt_url": string | null,"grant_id": string | null,"completed_at": string | null
                      },"checkout_preparation": {
                        "organization_id": string | null,"checkout_session_id": string | null,"is_reused": boolean | null,"status": string | null,"attempts": number | null,"stripe_session_id": string | null,"mode": string | null,"name": string | null,"description": string | null,"unit_amount": number | null,"currency": string | null,"billing_interval": string | null,"stripe_price_id": string | null,"plan_id": string | null,"trial_days": number | null,"superseded_session_ids": (string)[] | null,"ui_mode": string | null,"success_url": string | null,"cancel_url": string | null,"customer": Database["billing"]['CompositeTypes']["customer_claim"] | null
                      },"created_agent_key": {
                        "key_id": string | null,"key": string | null,"organization_id": string | null,"name": string | null,"department_id": string | null,"agent_types": (string)[] | null,"spend_limit": number | null,"spend_window": string | null,"expires_at": string | null,"scopes": (string)[] | null
                      },"created_invitation": {
                        "invitation_id": string | null,"organization_id": string | null,"email": string | null,"role": string | null,"department_id": string | null,"expires_at": string | null,"token": string | null
                      },"credit_balance": {
                        "organization_id": string | null,"balance": number | null,"held": number | null,"available": number | null,"debt": number | null,"pending": number | null,"pending_grants": Json | null,"expiring": Json | null,"restricted_reason": string | null,"is_blocked": boolean | null,"as_of": string | null
                      },"credit_batch_result": {
                        "index": number | null,"ok": boolean | null,"receipt": Database["billing"]['CompositeTypes']["credit_receipt"] | null,"error": Json | null
                      },"credit_check": {
                        "allowed": boolean | null,"amount": number | null,"available": number | null,"reason": string | null,"limit": Json | null,"topup_url": string | null
                      },"credit_hold": {
                        "hold_id": string | null,"organization_id": string | null,"status": string | null,"amount": number | null,"metered": number | null,"captured_amount": number | null,"uncollected_amount": number | null,"agent_type": string | null,"action": string | null,"department_id": string | null,"run_id": string | null,"idempotency_key": string | null,"transaction_id": string | null,"balance": number | null,"available": number | null,"replayed": boolean | null,"expires_at": string | null,"created_at": string | null
                      },"credit_receipt": {
                        "transaction_id": string | null,"organization_id": string | null,"amount": number | null,"balance": number | null,"available": number | null,"replayed": boolean | null,"price": Json | null,"grants": Json | null,"limits": Json | null,"created_at": string | null
                      },"customer_claim": {
                        "organization_id": string | null,"claim_id": string | null,"stripe_customer_id": string | null,"email": string | null,"name": string | null,"must_look_up": boolean | null
                      },"erased_user": {
                        "memberships": number | null,"invitations": number | null,"channels": number | null,"customers": number | null
                      },"grant_batch": {
                        "batch_key": string | null,"grant_count": number | null,"total_amount": number | null,"replayed": boolean | null
                      },"grant_receipt": {
                        "grant_id": string | null,"transaction_id": string | null,"organization_id": string | null,"amount": number | null,"balance": number | null,"available": number | null,"replayed": boolean | null,"effective_at": string | null,"expires_at": string | null,"created_at": string | null
                      },"job_result": {
                        "job": string | null,"processed": number | null,"failed": number | null
                      },"ledger_violation": {
                        "organization_id": string | null,"invariant": string | null,"expected": string | null,"actual": string | null,"details": Json | null
                      },"plan_change": {
                        "organization_id": string | null,"subscription_id": string | null,"stripe_subscription_id": string | null,"plan_id": string | null,"name": string | null,"mode": string | null,"unit_amount": number | null,"currency": string | null,"billing_interval": string | null,"stripe_price_id": string | null
                      },"platform_alert": {
                        "id": string | null,"kind": string | null,"severity": string | null,"subject_type": string | null,"subject_id": string | null,"organization_id": string | null,"details": Json | null,"occurrences": number | null,"created_at": string | null,"last_seen_at": string | null,"resolved_at": string | null
                      },"promotion_code": {
                        "code": string | null,"credits": number | null,"max_redemptions": number | null,"redeemed_count": number | null,"ends_at": string | null,"credit_expiry": string | null
                      },"rebuild_result": {
                        "organization_id": string | null,"kind": string | null,"changed": number | null
                      },"reconciliation_run": {
                        "run_id": string | null,"is_comparison": boolean | null
                      },"request_limit": {
                        "name": string | null,"organization_id": string | null,"requests": number | null,"per": string | null
                      },"stripe_event_outcome": {
                        "event_id": string | null,"status": string | null,"is_duplicate": boolean | null,"attempts": number | null,"organization_id": string | null,"error": string | null
                      },"stripe_event_summary": {
                        "event_id": string | null,"type": string | null,"status": string | null,"attempts": number | null,"error": string | null,"next_attempt_at": string | null,"api_version": string | null,"livemode": boolean | null,"object_id": string | null,"organization_id": string | null,"created_at": string | null,"received_at": string | null,"processed_at": string | null
                      },"subscription_handle": {
                        "organization_id": string | null,"subscription_id": string | null,"stripe_subscription_id": string | null,"stripe_customer_id": string | null,"plan_id": string | null,"status": string | null,"current_period_end": string | null,"ends_at": string | null,"pause_behavior": string | null
                      },"trial_grant": {
                        "granted": boolean | null,"reason": string | null,"receipt": Database["billing"]['CompositeTypes']["grant_receipt"] | null
                      },"usage_forecast": {
                        "organization_id": string | null,"runs_out_at": string | null,"runs_out_earliest": string | null,"runs_out_latest": string | null,"confidence": number | null,"spend_per_day": number | null,"spend_per_day_deviation": number | null,"days_observed": number | null,"balance": number | null,"available": number | null,"events": Json | null,"horizon": string | null,"as_of": string | null
                      }
          }
        }
}

type DatabaseWithoutInternals = Omit<Database, '__InternalSupabase'>

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "billing">]

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
        DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])
    : never = never
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
      DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])[TableName] extends {
      Row: infer R
    }
    ? R
    : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
  ? (DefaultSchema["Tables"] & DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
      Row: infer R
    }
    ? R
    : never
  : never

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Insert: infer I
    }
    ? I
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
  ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Insert: infer I
    }
    ? I
    : never
  : never

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Update: infer U
    }
    ? U
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
  ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Update: infer U
    }
    ? U
    : never
  : never

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"]
    : never = never
> = DefaultSchemaEnumNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
  ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
  : never

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema["CompositeTypes"]
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"]
    : never = never
> = PublicCompositeTypeNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"][CompositeTypeName]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema["CompositeTypes"]
  ? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
  : never

export const Constants = {
  "billing": {
          Enums: {
            
          }
        }
} as const
