# SQLite with both kinds of journal: 300 transactions of one row each, and a large one taken back.
for mode in wal delete; do
  {
    echo "pragma journal_mode=$mode; create table t(a integer primary key, b text);"
    for ((i = 1; i <= 300; ++i)); do echo "insert into t(b) values('row $i');"; done
    echo 'begin;'
    for ((i = 1; i <= 5000; ++i)); do echo "insert into t(b) values('x');"; done
    echo 'rollback;'
  } | sqlite3 $mode.db
  sqlite3 $mode.db 'select count(*), sum(a), max(b) from t; pragma integrity_check;'
done
