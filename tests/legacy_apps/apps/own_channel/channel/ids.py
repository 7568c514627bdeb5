def new_id():
    import uuid

    return 'ticker@%s/%s' % ('example.com', uuid.uuid4().hex)
