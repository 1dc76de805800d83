-- Two more groups: who resolves and reverses what was executed, and the platform's admin, who may do everything.
-- Four eyes hold for the admin too: they are two logins, whatever groups those are in.
do $$
declare
    missing text;
begin
    foreach missing in array array['weekclose_reconciler', 'weekclose_admin'] loop
        continue when exists (select from pg_roles where rolname = missing);
        begin
            execute format('create role %I nologin', missing);
        exception
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise exception 'login % may not create the role %: migrate as a login with CREATEROLE', session_user, missing
                    using errcode = 'insufficient_privilege';
        end;
    end loop;
    foreach missing in array array[
        'weekclose_operator', 'weekclose_approver', 'weekclose_reconciler', 'weekclose_auditor', 'weekclose_analyst'
    ] loop
        continue when pg_has_role('weekclose_admin', missing, 'member');
        begin
            execute format('grant %I to weekclose_admin', missing);
        exception
            when unique_violation then null;
            when insufficient_privilege then
                raise exception 'login % may not grant % to weekclose_admin: let a superuser grant it', session_user, missing
                    using errcode = 'insufficient_privilege';
        end;
    end loop;
end
$$;

-- A reconciler sees what an operator sees.
set local role weekclose_dbt;

grant usage on schema marts, seeds, staging, intermediate to weekclose_reconciler;
grant select on all tables in schema marts, seeds, staging, intermediate to weekclose_reconciler;
alter default privileges in schema marts, seeds, staging, intermediate
grant select on tables to weekclose_reconciler;

set local role weekclose_owner;

grant usage on schema raw, payouts to weekclose_reconciler;
grant select on all tables in schema raw, payouts to weekclose_reconciler;
alter default privileges in schema raw, payouts grant select on tables to weekclose_reconciler;

grant execute on function payouts.last_build, payouts.batch_key to weekclose_reconciler;
grant execute on function
payouts.seller_named, payouts.windows_of, payouts.lines_of, payouts.balances_of, payouts.payouts_of
to weekclose_reconciler;
