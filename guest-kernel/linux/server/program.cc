#include "guest-kernel/linux/server/program.h"

#include <array>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/lib/native_program.h"
#include "guest-kernel/linux/server/path.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

constexpr std::array<std::string_view, 4> kSearchPath = {"/bin/", "/usr/bin/", "/sbin/",
                                                         "/usr/sbin/"};

Result<Program> check(Node& node) {
  if (node.type() != kRegularFile || !node.is_executable()) {
    return fail(EACCES);
  }
  const auto image = guest::ElfImage::parse(node.contents(), abi::kUserEnd);
  return image ? Result<Program>(Program{&node, *image}) : fail(ENOEXEC);
}

}  // namespace

Result<Program> find_program(std::string_view name) {
  Node& root = server().root();
  if (name.find('/') != std::string_view::npos) {
    const auto node = resolve(root, root, name, true, nullptr);
    return node ? check(**node) : std::unexpected(node.error());
  }
  Result<Program> result = fail(ENOENT);
  for (const std::string_view directory : kSearchPath) {
    std::array<char, kMaximumPath> buffer;
    guest::TextWriter path(buffer);
    path.text(directory).text(name);
    const auto node = path.cut() || name.empty() ? Result<Node*>(fail(ENOENT))
                                                 : resolve(root, root, path.view(), true, nullptr);
    if (node) {
      result = check(**node);
      if (result || result.error().number == ENOEXEC) {
        return result;
      }
    }
  }
  return result;
}

bool is_native(const Program& program) {
  return !program.image.note(guest::kNativeNoteOwner, guest::kNativeNoteType).empty();
}

}  // namespace linux_server
