-- A second factor for approvals: the codes of an authenticator app (TOTP, RFC 6238: SHA-1, 6 digits, 30 s).
-- The database asks for them, because a client could leave that out. Secrets, codes and the arithmetic are
-- the owner's alone; a secret leaves once, to the person who enrols it.
set local role weekclose_owner;

-- One authenticator per person, and the newest code that was presented. `tries` counts the codes since the
-- last one that was right.
create table payouts.second_factors (
    actor text primary key,
    secret bytea not null,
    enrolled_at timestamptz not null default clock_timestamp(),
    last_step bigint not null default 0,
    tries integer not null default 0,
    presented_code text,
    presented_at timestamptz,
    presented_in xid8,
    constraint second_factors_secret_is_a_key check (octet_length(secret) = 20),
    constraint second_factors_tries_end_in_a_lock check (tries between 0 and 5),
    constraint second_factors_presented_whole
    check (num_nulls(presented_code, presented_at, presented_in) in (0, 3)),
    constraint second_factors_presented_is_counted check ((presented_code is null) = (tries = 0))
);

revoke select on payouts.second_factors
from weekclose_dbt, weekclose_operator, weekclose_approver, weekclose_auditor, weekclose_reconciler;

-- Whether everybody needs one, or only who has enrolled. One row; who changed it is in the audit log.
create table payouts.second_factor_rule (
    only_row boolean primary key default true,
    for_everybody boolean not null,
    constraint second_factor_rule_is_one_row check (only_row)
);
insert into payouts.second_factor_rule (for_everybody) values (false);

-- FIPS 180-4; pgcrypto is not everywhere. Words are bigints below 2^32.
create function payouts.sha1(message bytea) returns bytea language plpgsql immutable as $$
declare
    low32 constant bigint := 4294967295;
    size constant integer := octet_length(message);
    padded constant bytea := message
        || decode('80' || repeat('00', (119 - size % 64) % 64), 'hex') || int8send(size * 8::bigint);
    h0 bigint := 1732584193;
    h1 bigint := 4023233417;
    h2 bigint := 2562383102;
    h3 bigint := 271733878;
    h4 bigint := 3285377520;
    w bigint [];
    at integer;
    word bigint;
    a bigint;
    b bigint;
    c bigint;
    d bigint;
    e bigint;
    mixed bigint;
begin
    for block in 0 .. octet_length(padded) / 64 - 1 loop
        a := h0;
        b := h1;
        c := h2;
        d := h3;
        e := h4;
        for t in 0 .. 79 loop
            if t < 16 then
                at := block * 64 + t * 4;
                word := (get_byte(padded, at)::bigint << 24) | (get_byte(padded, at + 1) << 16)
                    | (get_byte(padded, at + 2) << 8) | get_byte(padded, at + 3);
            else
                word := w[t - 3] # w[t - 8] # w[t - 14] # w[t - 16];
                word := ((word << 1) & low32) | (word >> 31);
            end if;
            w[t] := word;
            mixed := case t / 20
                when 0 then ((b & c) | ((b # low32) & d)) + 1518500249
                when 1 then (b # c # d) + 1859775393
                when 2 then ((b & c) | (b & d) | (c & d)) + 2400959708
                else (b # c # d) + 3395469782
            end;
            mixed := ((((a << 5) & low32) | (a >> 27)) + mixed + e + word) & low32;
            e := d;
            d := c;
            c := ((b << 30) & low32) | (b >> 2);
            b := a;
            a := mixed;
        end loop;
        h0 := (h0 + a) & low32;
        h1 := (h1 + b) & low32;
        h2 := (h2 + c) & low32;
        h3 := (h3 + d) & low32;
        h4 := (h4 + e) & low32;
    end loop;
    return decode(
        lpad(to_hex(h0), 8, '0') || lpad(to_hex(h1), 8, '0') || lpad(to_hex(h2), 8, '0')
        || lpad(to_hex(h3), 8, '0') || lpad(to_hex(h4), 8, '0'),
        'hex'
    );
end
$$;

-- RFC 2104.
create function payouts.hmac_sha1(key bytea, message bytea) returns bytea language plpgsql immutable as $$
declare
    block bytea := case when octet_length(key) > 64 then payouts.sha1(key) else key end;
    inner_pad bytea;
    outer_pad bytea;
begin
    block := block || decode(repeat('00', 64 - octet_length(block)), 'hex');
    inner_pad := block;
    outer_pad := block;
    for place in 0 .. 63 loop
        inner_pad := set_byte(inner_pad, place, get_byte(block, place) # 54);
        outer_pad := set_byte(outer_pad, place, get_byte(block, place) # 92);
    end loop;
    return payouts.sha1(outer_pad || payouts.sha1(inner_pad || message));
end
$$;

-- RFC 4226: what an authenticator with this secret shows in a step of time (30 seconds, counted from 1970).
create function payouts.one_time_code(secret bytea, step bigint) returns text language plpgsql immutable as $$
declare
    mac constant bytea := payouts.hmac_sha1(secret, int8send(step));
    at constant integer := get_byte(mac, 19) & 15;
begin
    return lpad(
        (
            (
                ((get_byte(mac, at) & 127) << 24) | (get_byte(mac, at + 1) << 16)
                | (get_byte(mac, at + 2) << 8) | get_byte(mac, at + 3)
            ) % 1000000
        )::text, 6, '0'
    );
end
$$;

-- Asked last, when everything else has been found in order: uses up the code that the actor has presented in
-- the last five minutes. Steps only go up, so that no code counts twice; a clock may be off by one of them.
--
-- A code is looked at in a later transaction than the one that presented it: who could take a wrong one back
-- could try them all.
create function payouts.require_second_factor(actor text) returns void language plpgsql as $$
declare
    factor payouts.second_factors;
    presented_step bigint;
    accepted bigint;
begin
    perform payouts.refuse_other_name(actor);
    select * into factor
    from payouts.second_factors as factors
    where factors.actor = require_second_factor.actor
    for update;
    if not found then
        if (select for_everybody from payouts.second_factor_rule) then
            raise exception '% has no authenticator, and everybody needs one: weekclose otp enrol', actor
                using errcode = 'WC003';
        end if;
        return;
    end if;
    if
        factor.presented_code is null
        or factor.presented_at < clock_timestamp() - interval '5 minutes'
        or factor.presented_in = pg_current_xact_id()
    then
        raise exception 'a code of %''s authenticator is needed', actor using errcode = 'WC006';
    end if;
    presented_step := floor(extract(epoch from factor.presented_at) / 30);
    select min(step) into accepted
    from generate_series(presented_step - 1, presented_step + 1) as step
    where step > factor.last_step and payouts.one_time_code(factor.secret, step) = factor.presented_code;
    if accepted is null then
        raise exception 'the code is wrong, or has been used: wait for the next one' using errcode = 'WC006';
    end if;
    update payouts.second_factors as factors
    set last_step = accepted, tries = 0, presented_code = null, presented_at = null, presented_in = null
    where factors.actor = require_second_factor.actor;
end
$$;

-- Present a code, for one decision within five minutes. Says nothing about it; commit before deciding.
create function payouts.present_code(actor text, code text) returns void language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
declare
    factor payouts.second_factors;
    locked_until timestamptz;
begin
    perform payouts.refuse_other_name(actor);
    select * into factor
    from payouts.second_factors as factors
    where factors.actor = present_code.actor
    for update;
    if not found then
        raise exception '% has no authenticator: weekclose otp enrol', actor using errcode = 'WC003';
    end if;
    if coalesce(code, '') !~ '^[0-9]{6}$' then
        raise exception 'a code has 6 digits' using errcode = 'WC003';
    end if;
    if factor.tries = 5 then
        locked_until := factor.presented_at + interval '15 minutes';
        if locked_until > clock_timestamp() then
            raise exception 'five wrong codes: no code of % is taken before % UTC', actor,
                to_char(locked_until at time zone 'UTC', 'HH24:MI:SS')
                using errcode = 'WC003';
        end if;
        factor.tries := 0;
    end if;
    update payouts.second_factors as factors
    set
        tries = factor.tries + 1,
        presented_code = code,
        presented_at = clock_timestamp(),
        presented_in = pg_current_xact_id()
    where factors.actor = present_code.actor;
end
$$;

-- A new secret for the actor's authenticator. Who has one already shows a code of it first.
create function payouts.enrol(actor text) returns bytea language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
declare
    -- 244 bits of the server's strong random source.
    new_secret constant bytea := substring(
        sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) from 1 for 20
    );
begin
    perform payouts.refuse_other_name(actor);
    insert into payouts.second_factors (actor, secret) values (actor, new_secret) on conflict do nothing;
    if not found then
        perform payouts.require_second_factor(actor);
        update payouts.second_factors as factors
        set secret = new_secret, enrolled_at = clock_timestamp(), last_step = 0
        where factors.actor = enrol.actor;
    end if;
    perform payouts.audit(actor, 'enrol authenticator', 'person:' || actor, null, null);
    return new_secret;
end
$$;

-- For a lost phone: another admin takes the authenticator off a person, who enrols the next one.
create function payouts.reset_second_factor(reset_person text, why text, actor text)
returns bigint language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform payouts.refuse_other_name(actor);
    if reset_person = actor then
        raise exception '% cannot reset his own authenticator: another admin has to', actor
            using errcode = 'WC003';
    end if;
    delete from payouts.second_factors as factors where factors.actor = reset_person;
    if not found then
        raise exception '% has no authenticator', reset_person using errcode = 'WC005';
    end if;
    return payouts.audit(actor, 'reset authenticator', 'person:' || reset_person, null, null, why);
end
$$;

create function payouts.require_otp(required boolean, why text, actor text) returns bigint language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
begin
    update payouts.second_factor_rule set for_everybody = required where for_everybody <> required;
    if not found then
        raise exception 'a code is required % already',
            case when required then 'of everybody' else 'only of those who have enrolled' end
            using errcode = 'WC005';
    end if;
    return payouts.audit(
        actor, 'require codes', 'rule:second_factor', jsonb_build_object('for_everybody', not required),
        jsonb_build_object('for_everybody', required), why
    );
end
$$;

create or replace function payouts.approve(approved_window date, seen_digest text, actor text)
returns bigint language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
declare
    batch payouts.batches;
begin
    batch := payouts.open_batch(approved_window);
    if batch.content_digest <> seen_digest then
        raise exception 'the content of window % has changed: its digest is now %',
            approved_window, batch.content_digest
            using errcode = 'WC003';
    end if;
    if batch.state = 'approved' then
        raise exception 'window % is approved already, by %', approved_window, batch.approved_by
            using errcode = 'WC005';
    end if;
    if not exists (
        select from payouts.payouts where payout_window = approved_window and status = 'ready'
    ) then
        raise exception 'window % has no payout that is ready', approved_window using errcode = 'WC005';
    end if;
    -- Four eyes are this table's trigger.
    update payouts.batches
    set state = 'approved', approved_by = actor, approved_at = clock_timestamp()
    where batch_id = batch.batch_id;
    perform payouts.require_second_factor(actor);
    return payouts.audit(
        actor, 'approve', format('batch:%s', batch.batch_id),
        jsonb_build_object('state', 'frozen'),
        jsonb_build_object('state', 'approved', 'content_digest', seen_digest)
    );
end
$$;

-- A second person orders that an old batch is sent once more, although the rail may have forgotten its key.
create or replace function payouts.order_resend(ordered_window date, seen_digest text, actor text)
returns bigint language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
declare
    batch payouts.batches;
begin
    select * into batch
    from payouts.batches
    where payout_window = ordered_window and state <> 'rejected'
    for update;
    if batch.state is distinct from 'submitting' then
        raise exception 'window % has no batch whose outcome is unknown', ordered_window
            using errcode = 'WC005';
    end if;
    if batch.content_digest <> seen_digest then
        raise exception 'the digest of batch % is %', batch.batch_id, batch.content_digest
            using errcode = 'WC003';
    end if;
    if exists (
        select from payouts.submit_attempts as attempts
        where attempts.batch_id = batch.batch_id and attempts.actor = order_resend.actor
    ) then
        raise exception '% submitted batch %: another person has to order this', actor, batch.batch_id
            using errcode = 'WC003';
    end if;
    update payouts.batches
    set resend_ordered_by = actor, resend_ordered_at = clock_timestamp()
    where batch_id = batch.batch_id;
    perform payouts.require_second_factor(actor);
    return payouts.audit(
        actor, 'order resend', 'batch:' || batch.batch_id, null,
        jsonb_build_object('content_digest', seen_digest)
    );
end
$$;

grant execute on function payouts.enrol, payouts.present_code
to weekclose_operator, weekclose_approver, weekclose_reconciler;
grant execute on function payouts.reset_second_factor, payouts.require_otp to weekclose_admin;
