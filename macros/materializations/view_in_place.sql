{# A view is replaced where it stands, and left alone when nothing changed: readers never find it missing,
   never wait for it, and an analyst's own views on top of it survive. Only a changed column list, which
   PostgreSQL cannot replace in place, drops it first. #}
{% materialization view, adapter='postgres' %}
    {%- set existing = load_cached_relation(this) -%}
    {%- set view = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- set candidate = 'weekclose_view_candidate' -%}
    {% call statement('candidate') -%}
        {% if config.get('contract').enforced %}{{ get_assert_columns_equivalent(sql) }}{% endif %}
        create or replace temporary view {{ candidate }} as ({{ sql }})
    {%- endcall %}
    {%- set change = 'create' if existing is none else view_change(existing, candidate) -%}
    {% call statement('drop_candidate') %}drop view {{ candidate }}{% endcall %}

    {% if existing is not none and change == 'recreate' %}
        {% do adapter.drop_relation(existing) %}
    {% endif %}
    {% call statement('main') -%}
        {% if change == 'none' %}select 1 /* unchanged */{% else %}create or replace view {{ view }} as ({{ sql }}){% endif %}
    {%- endcall %}
    {% do persist_docs(view, model) %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [view]}) }}
{% endmaterialization %}

{# 'none', 'replace' (same leading columns) or 'recreate'. #}
{% macro view_change(existing, candidate) -%}
    {%- if not existing.is_view -%}{{ return('recreate') }}{%- endif -%}
    {%- set found = run_query(
        "select pg_get_viewdef('" ~ existing ~ "'::regclass) = pg_get_viewdef('" ~ candidate ~ "'::regclass),"
        ~ " not exists (select from pg_attribute as old left join pg_attribute as new"
        ~ " on new.attrelid = '" ~ candidate ~ "'::regclass and new.attnum = old.attnum"
        ~ " and new.attname = old.attname and new.atttypid = old.atttypid and new.atttypmod = old.atttypmod"
        ~ " where old.attrelid = '" ~ existing ~ "'::regclass and old.attnum > 0 and new.attname is null)"
    ).rows[0] -%}
    {{ return('none' if found[0] else 'replace' if found[1] else 'recreate') }}
{%- endmacro %}
