# What is packed comes back as it was.
mkdir in
cp -r /usr/lib/python3.11/json in/
head -c 200000 /usr/bin/bash > in/bytes
ln -s bytes in/link
digests() { (cd $1 && find . -type f | sort | xargs sha256sum); }
for tool in 'gzip -1' 'xz -0'; do
  tar -cf - in | $tool > packed
  rm -rf out
  mkdir out
  ${tool% *} -dc packed | tar -xf - -C out
  [ "$(digests in)" = "$(digests out/in)" ] && echo same
  readlink out/in/link
done
