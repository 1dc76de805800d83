-- The newest entries of the audit log, newest first, each with its fields as they were and as they are since.
select
    entries.entry_id,
    entries.at,
    entries.actor,
    entries.role,
    entries.action,
    entries.entity_kind,
    entries.entity_id,
    entries.entity,
    entries.reason,
    entries.metadata,
    fields.said
from marts.audit_timeline as entries
left join lateral (
    select
        jsonb_agg(
            jsonb_build_array(named.field, entries.before ->> named.field, entries.after ->> named.field)
            order by named.field collate "C"
        ) as said
    from (
        select jsonb_object_keys(entries.before) as field
        where jsonb_typeof(entries.before) = 'object'
        union
        select jsonb_object_keys(entries.after) as field
        where jsonb_typeof(entries.after) = 'object'
    ) as named
) as fields on true
order by entries.entry_id desc
limit %(limit)s
