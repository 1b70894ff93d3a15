from backburn.pool.health.symptom import Health, Unwatched


def test_a_machine_without_gpus_is_never_ill():
    health: Health = Unwatched()
    assert health.symptoms("") == health.between("", 0.0, 1.0) == health.unseen("") == ()
    assert health.watch(lambda device: None) is None and health.close() is None
