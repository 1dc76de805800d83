{# Comments are written where they are not what the model says: most runs find them right. #}
{% macro postgres__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- set comments = {} -%}
    {%- for row in run_query(
        "select attname, col_description(attrelid, attnum) from pg_attribute"
        ~ " where attrelid = '" ~ relation ~ "'::regclass and attnum > 0 and not attisdropped"
        ~ " union all select '', obj_description('" ~ relation ~ "'::regclass, 'pg_class')"
    ).rows -%}
        {%- do comments.update({row[0]: row[1] or ''}) -%}
    {%- endfor -%}
    {%- set changed = [] -%}
    {%- for column in model.columns.values() if column.description != comments.get(column.name) -%}
        {%- do changed.append(column.name) -%}
    {%- endfor -%}
    {%- if changed or model.description != comments[''] -%}
        {{ default__persist_docs(relation, model, for_relation, for_columns) }}
    {%- endif -%}
{%- endmacro %}
