-- A block range index tells only of the blocks that are in its summary, and a vacuum, which brings it up to
-- date, comes when a fifth of the table is new: in a large history that is months. Until then a question
-- about last week reads all that came since. Cheap: only new blocks are read.
set local role weekclose_owner;

create function payouts.summarize_raw() returns void language sql
security definer set search_path = pg_catalog, pg_temp as $$
    select brin_summarize_new_values(pg_class.oid)
    from pg_class
    inner join pg_am on pg_class.relam = pg_am.oid
    where pg_class.relnamespace = 'raw'::regnamespace and pg_class.relkind = 'i' and pg_am.amname = 'brin'
$$;

revoke execute on function payouts.summarize_raw from public;
grant execute on function payouts.summarize_raw to weekclose_operator;
