-- Who this login is, and which of the groups that the migrations make it has the rights of.
select
    cast(session_user as text) as login,
    coalesce(array_agg(substr(rolname, 11) order by rolname collate "C"), '{}') as groups
from pg_catalog.pg_roles
where
    starts_with(rolname, 'weekclose_')
    and not rolcanlogin
    and pg_has_role(session_user, oid, 'usage')
