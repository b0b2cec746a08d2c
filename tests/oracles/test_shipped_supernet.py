from metad2a.database.published import MetaDatabase
from metad2a.oracles.supernet import open_supernet
from metad2a.runtime import shipped


def test_the_shipped_labels_are_of_the_shipped_supernet() -> None:
    supernet = open_supernet(shipped("data", "supernets", "supernet16.safetensors"))
    database = MetaDatabase.load("inherited")
    assert [recipe["supernet"] for recipe in database.manifest["recipes"].values()] == [supernet.fingerprint]
    assert database.space == "mobilenetv3-compact"
    assert len(database.records) == 7350
    assert {name for names in database.task_classes for name in names} < set(supernet.classes)
