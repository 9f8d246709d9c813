"""Folders of files as source and sink: everything that must survive a crash, once, for local disks and SFTP alike."""

from bus.folder.drop import FolderSink
from bus.folder.pickup import FolderSource
from bus.folder.port import Folder, FolderEntry, name_problem
from bus.folder.words import DropSpec, PickupSpec, ReadySpec

__all__ = ["DropSpec", "Folder", "FolderEntry", "FolderSink", "FolderSource", "PickupSpec", "ReadySpec", "name_problem"]
