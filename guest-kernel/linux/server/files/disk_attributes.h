#pragma once

#include "guest-kernel/ext4/protocol.h"
#include "guest-kernel/linux/server/node.h"

// What the disk's nodes have in common.
namespace linux_server {

// Takes over all but the device.
void take_record(StoredAttributes& attributes, const ext4::InodeRecord& record);
// Makes a change on the disk.
Result<void> change_inode(const StoredAttributes& attributes, const AttributeChange& change);
// The node ends: if it has no name left, its place on the disk is free.
void release_inode(const Node& node);

}  // namespace linux_server
