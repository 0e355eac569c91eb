# Says what a database on /data has, then writes row after row, each in a transaction of its own, with
# journal mode $1. Checkpoints and rows of several pages make a power cut hit more than the journal.
# Less than "extra" does not sync the end of a rollback journal, with which a transaction is over.
cd /data
content="printf('%d ', a) || printf('%0*d', a * 37 % 6000, a)"
sqlite3 db "create table if not exists t(a integer primary key, b text);
  select 'integrity ' || integrity_check from pragma_integrity_check;
  select 'wrong ' || count(*) from t where b is not $content;
  select 'row ' || a || ': ' || length(b) || ' bytes, ' || quote(substr(b, 1, 60)) from t
    where b is not $content;
  select 'rows ' || count(*) from t;
  select 'highest ' || coalesce(max(a), 0) from t;"
i=$(($(sqlite3 db 'select coalesce(max(a), 0) from t') + 1))
{
  echo "pragma journal_mode=$1; pragma synchronous=extra; pragma wal_autocheckpoint=20;"
  while :; do
    echo "insert into t select $i, $content from (select $i as a); select 'synced $i';"
    i=$((i + 1))
  done
} | sqlite3 db
